"""The quick and the exact way of reading items accept the same input, with the same result."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from api.intake.counting import ItemTarget
from api.jobs.item_reader import ItemReader
from lengthwise.errors import InvalidInput
from lengthwise.kinds import KINDS
from lengthwise.models.catalog import Catalog
from lengthwise.settings import Settings
from tests.fakes import write_catalog

LIMITS = Settings(max_text_characters=30, max_metadata_bytes=40)
PARAMS: dict[str, dict[str, Any]] = {"translate": {"source": "zh", "target": "en"}}

NAMES = st.sampled_from(["id", "text", "metadata", "messages", "source", "target", "role", "content", "", "textt"])
#: JSON as callers and attackers write it: numbers that Python never writes, escapes, our field names.
SCALARS = st.sampled_from(
    ["null", "true", "1", "-0", "1.0", "1e999", "-1E400", "NaN", "Infinity", "-Infinity", "9" * 5000, "9" * 50,
     '"user"', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"a\\nb"', '"en"', '"zh"', '""', '"x"', '"NaN"',
      '"' + "x" * 31 + '"']
) | st.text(max_size=40).map(json.dumps)  # fmt: skip


def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.lists(st.tuples(NAMES.map(json.dumps), inner).map(": ".join), max_size=4)
    return members.map(lambda each: "{" + ", ".join(each) + "}") | st.lists(inner, max_size=3).map(
        lambda each: "[" + ",".join(each) + "]"
    )


VALUES = st.recursive(SCALARS, containers, max_leaves=8)
#: Mostly items: a text and some fields, sometimes repeated or cut off.
LINES = VALUES | st.tuples(st.lists(st.tuples(NAMES.map(json.dumps), VALUES).map(":".join), max_size=3), SCALARS).map(
    lambda parts: "{" + ",".join([*parts[0], '"text":' + parts[1]]) + "}"
)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    path: Path = write_catalog(tmp_path_factory.mktemp("models"))
    return Catalog.read(path)


def reader(catalog: Catalog, name: str) -> ItemReader:
    kind = KINDS[name]
    params = kind.params_type.model_validate(PARAMS.get(name, {}))
    return ItemReader(ItemTarget(kind, catalog.models["echo"], params), LIMITS)


def agree(catalog: Catalog, name: str, raw: Any) -> None:
    quick, exact = reader(catalog, name), reader(catalog, name)
    try:
        found = exact.read_one(raw, 7)
    except InvalidInput as error:
        assert error.index == 7
        assert (error.field or "").startswith("items[7]")
        with pytest.raises((ValueError, InvalidInput)):
            quick.read_many([raw])
    else:
        assert quick.read_many([raw]) == [found]
        assert from_json(found.payload) == found.item.model_dump(exclude_none=True)


@settings(max_examples=300, deadline=None)
@given(line=LINES, name=st.sampled_from(sorted(KINDS)), cut=st.integers(0, 8), blank=st.sampled_from(["", " ", "\r"]))
@example('{"text":"a","metadata":{"x":NaN}}', "generate", 0, "")
@example('{"text":"a","metadata":{"x":[1e999]}}', "generate", 0, "")
@example('{"text":"a","metadata":{"x":"Infinity"}}', "generate", 0, "")
@example('{"text":5,"text":"a","id":"a","id":null}', "generate", 0, "\r")
@example('{"text":{"id":NaN},"text":"a"}', "generate", 0, "")
@example('{"text":"a","id":"\\u0000"}', "generate", 0, "")
@example('{"text":"a","metadata":{"x":' + "[" * 196 + "]" * 196 + "}}", "moderate", 0, "")
@example('{"text":"a","metadata":{"x":' + "[" * 250 + "]" * 250 + "}}", "moderate", 0, "")
@example('{"messages":[{"role":"user","content":"a","more":1}]}', "chat", 0, "")
def test_both_ways_of_reading_agree_on_a_line(catalog: Catalog, line: str, name: str, cut: int, blank: str) -> None:
    whole = (blank + line + blank).encode()
    agree(catalog, name, whole[: len(whole) - max(0, cut - 6)])


@settings(max_examples=100, deadline=None)
@given(line=st.binary(max_size=30), name=st.sampled_from(sorted(KINDS)))
@example(b'\xef\xbb\xbf"a"', "generate")
@example(b'"\xff"', "generate")
@example(b'"a" "b"', "generate")
@example(b'"a","id":"b"', "generate")
def test_both_ways_of_reading_agree_on_any_bytes(catalog: Catalog, line: bytes, name: str) -> None:
    agree(catalog, name, line)


@settings(max_examples=200, deadline=None)
@given(line=LINES, name=st.sampled_from(sorted(KINDS)))
def test_both_ways_of_reading_agree_on_a_value(catalog: Catalog, line: str, name: str) -> None:
    try:
        value = from_json(line, allow_inf_nan=False)
    except ValueError:
        return
    agree(catalog, name, value)


@pytest.mark.parametrize(
    "bad", [b'{"text":null}', b"[", {"text": 5}, {"text": "a", "more": 1}, b'{"text":"x","id":"1"}']
)
def test_the_error_names_the_first_of_many_wrong_items(catalog: Catalog, bad: Any) -> None:
    good = [{"text": "x", "id": str(number)} for number in range(5)]
    raws = [to_json(item) for item in good] if isinstance(bad, bytes) else good
    with pytest.raises(InvalidInput) as caught:
        reader(catalog, "generate").read([*raws[:4], bad, bad, raws[4]], 100)
    assert caught.value.index == 104


@given(
    ids=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20), max_size=6)
)
def test_an_id_is_accepted_once_in_portions_of_any_size(catalog: Catalog, ids: list[str]) -> None:
    taken = reader(catalog, "generate")
    for index, name in enumerate(ids):
        if name in ids[:index]:
            with pytest.raises(InvalidInput, match="same id"):
                taken.read([{"text": "x", "id": name}], index)
        else:
            taken.read([{"text": "x", "id": name}], index)


def test_long_ids_that_begin_alike_differ(catalog: Catalog) -> None:
    ids = ["x" * 40 + str(number) for number in range(9)] + ["x" * size for size in range(10, 20)]
    assert len(reader(catalog, "generate").read([{"text": "x", "id": name} for name in ids], 0)) == len(ids)
