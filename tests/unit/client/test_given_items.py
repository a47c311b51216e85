"""What callers give as items, and the errors for what is no series of texts. Nothing is ever sent of such items."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from lengthwise import AsyncClient, Client
from lengthwise.client._spool import Spool
from lengthwise.errors import InvalidInput


class NAType:
    """As pandas' NA: no comparison with it is true or false."""

    def __eq__(self, other: object) -> Any:
        return self

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = object.__hash__


class NaTType:
    """As pandas' NaT."""


class Labelled:
    """As a pandas Series: it iterates over its values, and has an attribute for each of its labels."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values.values())


class DataFrame:
    """As a DataFrame: it iterates over the names of its columns."""

    @property
    def columns(self) -> list[str]:
        return ["text", "price"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


class ByPosition:
    """An old sequence, which is iterated over by position."""

    def __getitem__(self, at: int) -> str:
        return "ab"[at]


async def coming() -> AsyncIterator[str]:
    yield "a"


def written(items: Any) -> list[Any]:
    with Spool() as spool:
        spool.add(items)
        spool.finish()
        lines = zstandard.ZstdDecompressor().decompressobj().decompress(b"".join(spool.chunks()))
    return [from_json(line) for line in lines.splitlines()]


@pytest.mark.parametrize(
    "items",
    [
        ["a", "b"],
        ("a", "b"),
        {"a": 1, "b": 2}.keys(),
        (text for text in "ab"),
        map(str, ["a", "b"]),
        Labelled(columns="a", column_names="b"),
        ByPosition(),
        np.array(["a", "b"]),
        np.array(["a", "b"], dtype=object),
        np.array(["a", "b"], dtype=np.dtypes.StringDType()),
        [np.str_("a"), np.str_("b")],
        pa.array(["a", "b"]),
        pa.chunked_array([["a"], ["b"]]),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array(["a", "b"], pa.large_string()),
        pa.table({"text": ["a", "b"]})["text"],
    ],
    ids=lambda items: type(items).__name__,
)
def test_any_series_of_texts_is_taken(items: Any) -> None:
    assert written(items) == ["a", "b"]


@pytest.mark.parametrize(
    "items",
    [
        [{"text": "a", "id": "1"}],
        [MappingProxyType({"text": "a", "id": "1"})],
        pa.array([{"text": "a", "id": "1"}]),
        pa.table({"text": ["a"], "id": ["1"]}).to_pylist(),
    ],
    ids=lambda items: type(items).__name__,
)
def test_any_series_of_mappings_is_taken(items: Any) -> None:
    assert written(items) == [{"text": "a", "id": "1"}]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "None": (lambda: None, r'NoneType: .*submit\(\["text"\]\)'),
    "one text": (lambda: "one secret text", r'str: .*submit\(\["text"\]\).*submit_file\(path\)'),
    "an empty text": (lambda: "", r"str: "),
    "one NumPy text": (lambda: np.str_("a"), r"str_: "),
    "bytes": (lambda: b"one secret text", r"bytes: .*submit\(\[data.decode\(\)\]\)"),
    "a buffer": (lambda: bytearray(b"a"), r"bytearray: "),
    "a path": (lambda: Path("secret"), r"PosixPath: submit_file\(path\)"),
    "one item": (lambda: {"text": "secret"}, r"dict: .*submit\(\[item\]\)"),
    "a number": (lambda: 7, r'int: .*submit\(\["text"\]\)'),
    "an array without dimensions": (lambda: np.array("a"), r"ndarray: "),
    "a data frame": (DataFrame, r'DataFrame: .*submit\(df\["text"\]\)'),
    "an Arrow table": (lambda: pa.table({"text": ["secret"]}), r'Table: .*submit\(df\["text"\]\)'),
    "an Arrow batch": (lambda: pa.record_batch({"text": ["secret"]}), r'RecordBatch: .*submit\(df\["text"\]\)'),
    "a missing text": (lambda: ["a", None], r"items\[1\] .*NoneType: a missing value.*fillna"),
    "NaN": (lambda: ["a", "b", float("nan")], r"items\[2\] .*float: a missing value"),
    "NumPy's NaN": (lambda: np.array([np.nan]), r"items\[0\] .*float64: a missing value"),
    "NA": (lambda: Labelled(first="a", second=NAType()), r"items\[1\] .*NAType: a missing value"),
    "NaT": (lambda: [NaTType()], r"items\[0\] .*NaTType: a missing value"),
    "Arrow's null": (lambda: pa.array(["a", None]), r"items\[1\] .*NoneType: a missing value"),
    "numbers": (lambda: [1, 2], r"items\[0\] .*int: convert it first, as in submit\(map\(str, items\)\)"),
    "a NumPy number": (lambda: np.array([1]), r"items\[0\] .*int64: convert"),
    "a truth value": (lambda: [True], r"items\[0\] .*bool: convert"),
    "a decimal": (lambda: [Decimal(1)], r"items\[0\] .*Decimal: convert"),
    "a date": (lambda: ["a", date(2031, 1, 31)], r"items\[1\] .*date: convert"),
    "bytes among texts": (lambda: ["a", b"secret"], r"items\[1\] .*bytes: decode it first"),
    "NumPy's bytes": (lambda: np.array([b"secret"]), r"items\[0\] .*bytes_: decode it first"),
    "Arrow's bytes": (lambda: pa.array([b"secret"]), r"items\[0\] .*bytes: decode it first"),
    "a list of lists": (lambda: [["secret"]], r"items\[0\] is neither a str nor a mapping but list$"),
    "an array of rows": (lambda: np.array([["secret"]]), r"items\[0\] is neither a str nor a mapping but ndarray$"),
    "NaN in a field": (lambda: ["a", {"text": float("nan")}], r"items\[1\] has a field that is NaN"),
}


def never(request: httpx.Request) -> httpx.Response:
    raise AssertionError("a request was sent")


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_a_type_error_that_says_what_to_do_and_repeats_nothing(name: str) -> None:
    make, message = REFUSED[name]
    with (
        Client(http=httpx.Client(transport=httpx.MockTransport(never))) as client,
        pytest.raises(TypeError, match=message) as refused,
    ):
        client.submit(make(), kind="generate")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", REFUSED)
def test_the_async_client_raises_the_same_error(name: str) -> None:
    make, message = REFUSED[name]

    async def submit() -> None:
        async with AsyncClient(http=httpx.AsyncClient(transport=httpx.MockTransport(never))) as client:
            await client.submit(make(), kind="generate")

    with pytest.raises(TypeError, match=message):
        asyncio.run(submit())


@pytest.mark.parametrize(
    "bad",
    [float("nan"), float("inf"), -float("inf"), [float("nan")], {"deep": [{"x": float("nan")}]}, np.int64(3),
     np.float32("nan"), "\ud800", pa.scalar("secret")],
    ids=repr,
)  # fmt: skip
def test_metadata_that_json_has_not_is_refused_with_its_item_and_nothing_is_sent(bad: Any) -> None:
    with (
        Client(http=httpx.Client(transport=httpx.MockTransport(never))) as client,
        pytest.raises(InvalidInput, match=r"^items\[1\] has a value that JSON has not") as refused,
    ):
        client.submit(["NaN and Infinity are words", {"text": "a", "metadata": {"price": bad}}], kind="generate")
    assert refused.value.index == 1
    assert "secret" not in str(refused.value)


def test_only_the_async_client_takes_what_must_be_awaited() -> None:
    with pytest.raises(TypeError, match="only AsyncClient"):
        written(coming())


def test_an_item_of_an_asynchronous_iterable_is_named_by_its_position() -> None:
    async def items() -> AsyncIterator[Any]:
        yield "a"
        yield float("nan")

    async def submit() -> None:
        async with AsyncClient(http=httpx.AsyncClient(transport=httpx.MockTransport(never))) as client:
            await client.submit(items(), kind="generate")

    with pytest.raises(TypeError, match=r"items\[1\] .*a missing value"):
        asyncio.run(submit())


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.binary(max_size=3)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4)), bad=scalars)
def test_the_first_item_that_is_no_text_is_named(texts: list[str], bad: Any) -> None:
    assert written(texts) == texts
    with pytest.raises(TypeError, match=rf"^items\[{len(texts)}\] "):
        written([*texts, bad, *texts, bad])
