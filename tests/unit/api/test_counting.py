"""Tokens are counted for many items at once, and an item that cannot be read does no harm to the others."""

from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json, to_json

from api.intake.counting import CheckedItem, ItemTarget, Portion, _cost, counted
from lengthwise.errors import InvalidInput
from lengthwise.kinds import KINDS
from lengthwise.kinds.openai import BY_NAME
from lengthwise.ledger.jobs.arrangement import NewItem
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog, ModelSpec
from tests.fakes import write_catalog
from tests.panics import panic_on

_PART, _EMPTY_PART = {"type": "text", "text": "a"}, {"type": "text", "text": ""}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder: Path = tmp_path_factory.mktemp("models")
    return Catalog.read(write_catalog(folder)).models["echo"]


def items(spec: ModelSpec, *texts: str) -> list[NewItem]:
    kind = KINDS["generate"]
    checked = [CheckedItem(kind.item_type.model_validate({"text": text}), to_json({"text": text})) for text in texts]
    target = ItemTarget(kind, spec, kind.params_type())

    def refuse(place: int, error: InvalidInput) -> None:
        raise AssertionError(place, error)

    parts = counted(Portion(target, checked, range(len(texts))), refuse)
    return [item for part in parts for item in part.items]


def test_an_item_that_is_too_long_is_told_the_limit(spec: ModelSpec) -> None:
    fits, too_long = items(spec, "a", "a" * 600)
    assert fits.refusal is None
    assert f"at most {spec.context} tokens" in from_json(too_long.refusal or b"")["error"]["message"]


def test_a_text_on_which_the_tokenizer_panics_is_refused_and_the_others_are_counted(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = items(spec, "one", "two", "three")
    panic_on(monkeypatch, tokenizer.load_counting(spec), "CaNaRy")
    found = items(spec, "one", "a CaNaRy", "two", "three", "CaNaRy")
    refusals = [item.refusal for item in found]
    assert [refusal is None for refusal in refusals] == [True, False, True, True, False]
    for refusal in filter(None, refusals):
        assert from_json(refusal)["error"]["code"] == "untokenizable"
        assert b"canary" not in refusal.lower()
    assert [item.lengths for item in (found[0], found[2], found[3])] == [item.lengths for item in before]


#: Small as text, and forty times as large in memory.
_NESTED: dict[str, Any] = reduce(lambda inner, _: {"": inner}, range(150), {})


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("generate", {"text": "a", "metadata": {"a": [_NESTED] * 20}}),
        ("generate", {"text": "a", "metadata": {"a": [[]] * 5_000}}),
        ("chat", {"messages": [{"role": "user", "content": ""}] * 255 + [{"role": "user", "content": "a"}]}),
        (
            "chat.completions",
            {
                "id": "a",
                "request": "b",
                "body": {"model": "echo", "messages": [{"role": "user", "content": [_EMPTY_PART] * 255 + [_PART]}] * 9},
            },
        ),
    ],
    ids=["nested metadata", "lists in metadata", "messages without text", "parts without text"],
)
def test_an_item_without_text_that_is_large_in_memory_counts_as_long(
    spec: ModelSpec, kind: str, sent: dict[str, Any]
) -> None:
    found = KINDS[kind] if kind in KINDS else BY_NAME[kind]
    item, payload = found.item_type.model_validate(sent), to_json(sent)
    assert _cost(item, payload) > len(payload) / 20, "so a claim's memory is bounded by its tokens"


def test_a_little_metadata_costs_nothing(spec: ModelSpec) -> None:
    sent = {"text": "a", "metadata": {"row": 7, "note": "b" * 900}}
    assert _cost(KINDS["generate"].item_type.model_validate(sent), to_json(sent)) <= 1
