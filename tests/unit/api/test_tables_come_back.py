"""A table that was sent comes back with its results: every column, in order, with the values and types it had."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.jobs.body_format import BodyFormat
from api.jobs.tables import result_table
from api.jobs.tables.csv_items import CsvTable
from api.jobs.tables.parquet_items import ParquetTable
from api.jobs.tables.result_table import KeptRows
from api.jobs.tables.table_row import TableColumns
from lengthwise.errors import InvalidInput
from lengthwise.formats import source
from lengthwise.formats.source import RowBlock
from lengthwise.settings import Settings

patient = settings(deadline=None)
#: Values that a reader of CSV may trip over.
TRICKY = ["", '"', '""', ",", ";", "\t", "\n", "\r\n", " ", "=1+1", "\u2028", "\u0085", "\ufeff", "𝄞", "null", "0", "é"]
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.lists(
    st.sampled_from(TRICKY), max_size=3
).map("".join)


def answered(
    table: CsvTable | ParquetTable,
    form: BodyFormat = BodyFormat.CSV,
    seen: Sequence[int] | None = None,
    output: dict[str, Any] | None = None,
    delimiter: str = ",",
) -> bytes:
    """The table of results of these items, or of those in ``seen``, each with its own text as its output."""
    blocks: list[RowBlock] = []
    items = [json.loads(item) for item in table.items(blocks.append)]

    def read(start: int, end: int) -> list[RowBlock]:
        return [block for block in blocks if block.first < end and block.first + block.n_rows > start]

    lines = [
        json.dumps({
            "index": at, "id": item.get("id"), "status": "succeeded", "output": output or {"text": item["text"]},
            "usage": {"input_tokens": 1, "output_tokens": 1}, "model_revision": "r",
        }).encode() + b"\n"
        for at, item in enumerate(items) if seen is None or at in seen
    ]  # fmt: skip
    pages = [b"".join(lines[at : at + 3]) for at in range(0, len(lines), 3)]
    return b"".join(result_table.written(pages, form, delimiter, KeptRows(table.source, read)))


def rows_of(content: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter, strict=True))


def csv_of(rows: Sequence[Sequence[str]], delimiter: str = ",", end: str = "\r\n") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue().encode()


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    header = draw(st.lists(CELL.filter(bool), min_size=1, max_size=4, unique=True).map(lambda names: [*names, "text"]))
    header = draw(st.permutations(header))
    if header.count("text") > 1 or "id" in header:
        header = ["text"]
    row = st.lists(CELL, min_size=len(header), max_size=len(header))
    return header, draw(st.lists(row.filter(lambda row: any(row) or len(row) == 1), min_size=1, max_size=9))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lengthwise.formats.source.BLOCK_ROWS", 2)


@patient
@given(table=tables(), delimiter=st.sampled_from([",", ";", "\t", "|"]), end=st.sampled_from(["\n", "\r\n"]))
def test_any_csv_comes_back_whole(table: tuple[list[str], list[list[str]]], delimiter: str, end: str) -> None:
    header, rows = table
    content = csv_of([header, *rows], delimiter, end)
    read = CsvTable(io.BytesIO(content), TableColumns(delimiter=delimiter), Settings())
    found = rows_of(answered(read))
    assert [row[: len(header)] for row in found] == [header, *rows]
    text, output = header.index("text"), found[0].index("output.text", len(header))
    assert [row[output] for row in found[1:]] == [row[text] for row in rows]
    typed = pq.read_table(io.BytesIO(answered(opened(content, delimiter), BodyFormat.PARQUET)))
    kept = [typed.column(at).to_pylist() for at in range(len(header))]
    assert kept == [list(each) for each in zip(*rows, strict=True)]
    assert all(typed.schema.field(at).type == pa.string() for at in range(len(header)))


def opened(content: bytes, delimiter: str | None = None, **columns: Any) -> CsvTable:
    return CsvTable(io.BytesIO(content), TableColumns(delimiter=delimiter, **columns), Settings())


@patient
@given(table=tables(), data=st.data())
def test_the_separator_is_found_by_the_names_of_the_columns(
    table: tuple[list[str], list[list[str]]], data: st.DataObject
) -> None:
    header, rows = table
    delimiter = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    read = opened(csv_of([header, *rows], delimiter), metadata_columns=header)
    assert (read.source.columns, read.source.delimiter) == (header, delimiter if len(header) > 1 else ",")


#: A column of each type that Parquet can hold, with a null.
TYPED: dict[str, Any] = {
    "string": pa.array(["a\0b", None, ""]),
    "large_string": pa.array(["a", None, "é"], pa.large_string()),
    "string_view": pa.array(["a", None, "é"], pa.string_view()),
    "binary": pa.array([b"\xff\0", None, b""]),
    "fixed binary": pa.array([b"abc", None, b"\0\xff\1"], pa.binary(3)),
    "bool": pa.array([True, None, False]),
    "uint64": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "int64": pa.array([2**63 - 1, None, -(2**63)]),
    "int8": pa.array([1, None, -128], pa.int8()),
    "double": pa.array([0.1, None, 5e-324]),
    "infinite": pa.array([float("inf"), None, float("-inf")]),
    "float": pa.array([0.1, None, 1e38], pa.float32()),
    "halffloat": pa.array([0.5, None, 65504.0], pa.float16()),
    "decimal": pa.array([Decimal("1.50"), None, Decimal("-99999999.99")], pa.decimal128(20, 2)),
    "wide decimal": pa.array([Decimal(10) ** 50, None, Decimal(-1)], pa.decimal256(60, 0)),
    "date": pa.array([date(2031, 1, 31), None, date(1, 1, 1)]),
    "time": pa.array([time(23, 59, 59, 999_999), None, time(0)]),
    "nanoseconds": pa.array([1, None, -1], pa.timestamp("ns")),
    "zoned": pa.array([1, None, -1], pa.timestamp("us", "Europe/Berlin")),
    "zoned elsewhere": pa.array([1, None, -1], pa.timestamp("us", "Mars/Olympus_Mons")),
    "list of zoned elsewhere": pa.array([[1], None, []], pa.list_(pa.timestamp("us", "Mars/Olympus_Mons"))),
    "far": pa.array([2**62, None, -(2**62)], pa.timestamp("us")),
    "duration": pa.array([timedelta(1), None, timedelta(0)]),
    "list": pa.array([[1, None], None, []], pa.list_(pa.int32())),
    "list of nanoseconds": pa.array([[1], None, []], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("ns"))),
    "struct": pa.array([{"a": 1, "b": date(2031, 1, 31)}, None, {"a": None, "b": None}]),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "null": pa.nulls(3),
    "uuid": pa.array([UUID(int=7).bytes, None, UUID(int=8).bytes], pa.uuid()),
    "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", TYPED)
def test_a_column_of_any_type_comes_back_as_it_was(name: str) -> None:
    sent = pa.table([TYPED[name], pa.array(["x", "y", "z"]), TYPED[name]], [name, "text", "again"])
    found = pq.read_table(io.BytesIO(answered(from_table(sent), BodyFormat.PARQUET)))
    # Parquet itself renames the fields of lists. A dictionary only says how values are stored.
    file = io.BytesIO()
    pq.write_table(plain(sent), file)
    assert found.select(range(3)).equals(pq.read_table(file))
    assert len(rows_of(answered(from_table(sent)))) == 4, "every type can be shown in CSV"


def plain(table: pa.Table) -> pa.Table:
    kinds = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in table.schema.types]
    return table.cast(pa.schema(zip(table.column_names, kinds, strict=True)))


def from_table(table: pa.Table, **columns: Any) -> ParquetTable:
    with TemporaryFile() as file:
        pq.write_table(table, file)
        return ParquetTable(file, TableColumns(**columns), Settings())


SHOWN = {
    "string": ["a\0b", "", ""], "binary": ["_wA=", "", ""], "bool": ["true", "", "false"],
    "uint64": [str(2**64 - 1), "", "0"], "decimal": ["1.50", "", "-99999999.99"],
    "nanoseconds": ["1970-01-01 00:00:00.000000001", "", "1969-12-31 23:59:59.999999999"],
    "zoned": ["1970-01-01 01:00:00.000001+0100", "", "1970-01-01 00:59:59.999999+0100"],
    "zoned elsewhere": ["1970-01-01 00:00:00.000001Z", "", "1969-12-31 23:59:59.999999Z"],
    "list of zoned elsewhere": ['["1970-01-01 00:00:00.000001Z"]', "", "[]"],
    "date": ["2031-01-31", "", "0001-01-01"], "list": ["[1,null]", "", "[]"],
    "list of nanoseconds": ['["1970-01-01 00:00:00.000000001"]', "", "[]"],
    "struct": ['{"a":1,"b":"2031-01-31"}', "", '{"a":null,"b":null}'], "uuid": [str(UUID(int=7)), "", str(UUID(int=8))],
    "dictionary": ["a", "", "b"],
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_a_typed_value_is_shown_in_csv_in_its_exact_form(name: str) -> None:
    table = from_table(pa.table([pa.array(["x", "y", "z"]), TYPED[name]], ["text", "value"]))
    assert [row[1] for row in rows_of(answered(table))[1:]] == SHOWN[name]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", [BodyFormat.CSV, BodyFormat.PARQUET])
@pytest.mark.parametrize("seen", [[], [0], [4], [1, 2, 6], [0, 5, 6]])
def test_results_so_far_come_beside_their_own_rows(form: BodyFormat, seen: list[int]) -> None:
    rows = [[str(at), f"t{at}"] for at in range(7)]
    content = csv_of([["n", "text"], *rows])
    of_parquet = from_table(pa.table({"n": [row[0] for row in rows], "text": [row[1] for row in rows]}))
    for table in (opened(content), of_parquet):
        found = answered(table, form, seen)
        if form is BodyFormat.CSV:
            assert [row[:2] for row in rows_of(found)] == [["n", "text"], *(rows[at] for at in seen)]
        else:
            kept = pq.read_table(io.BytesIO(found)).select(["n", "text"]).to_pylist()
            assert [list(row.values()) for row in kept] == [rows[at] for at in seen]


def test_a_new_column_never_takes_the_name_of_one_that_was_sent() -> None:
    header = ["status", "text", "output.text", "result.status", "id", "index"]
    found = rows_of(answered(opened(csv_of([header, ["s", "t", "o", "r", "i", "x"]]))))
    assert found[0][:8] == [*header, "result.result.status", "result.output.text"]
    assert found[1][:8] == ["s", "t", "o", "r", "i", "x", "succeeded", "t"]
    assert len(set(found[0])) == len(found[0])


@pytest.mark.usefixtures("small_blocks")
def test_several_columns_and_targets_become_one_row_again() -> None:
    header = ["title.de", "title", "n", "body"]
    rows = [["was here", f"t{at}", str(at), f"b{at}"] for at in range(5)]
    read = opened(csv_of([header, *rows]), text_columns=["title", "body"], targets=["de", "fr"])
    found = rows_of(answered(read))
    new = found[0][4:]
    assert [name for name in new if name.count(".") == 1] == ["title.fr", "body.de", "body.fr"]
    assert {"result.title.de", "title.de.status", "title.de.error.code", "body.fr.status"} <= set(new)
    assert [row[:4] for row in found[1:]] == rows
    by_name = [dict(zip(found[0], row, strict=True)) for row in found[1:]]
    assert [(row["result.title.de"], row["title.fr"], row["body.de"]) for row in by_name] == [
        (f"t{at}", f"t{at}", f"b{at}") for at in range(5)
    ]
    partial = rows_of(answered(opened(csv_of([header, *rows]), text_columns=["title", "body"]), seen=[3, 4]))
    assert [row[2] for row in partial[1:]] == ["1", "2"]
    assert [dict(zip(partial[0], row, strict=True))["title.text"] for row in partial[1:]] == ["", "t2"]


def test_rows_are_picked_from_blocks_by_their_numbers() -> None:
    blocks: list[RowBlock] = []
    list(opened(csv_of([["text"], *([f"t{at}"] for at in range(2500))])).items(blocks.append))
    assert [(block.first, block.n_rows) for block in blocks] == [(0, 1000), (1000, 1000), (2000, 500)]
    found = list(source.picked("csv", blocks, [0, 999, 1000, 2499]))
    assert [places for places, _ in found] == [[0, 999], [0], [499]]
    texts = [row for _, content in found for row in source.CsvBlocks().texts(content)]
    assert texts == [["t0"], ["t999"], ["t1000"], ["t2499"]]


def test_results_may_be_separated_by_tabs() -> None:
    found = answered(opened(b"a,text\n1;2,x\ty\n"), delimiter="\t")
    assert rows_of(found, "\t")[1][:2] == ["1;2", "x\ty"]


@pytest.mark.parametrize("name", ["list", "map", "struct", "double", "int64", "decimal", "date", "time", "nanoseconds",
                                  "bool", "duration", "uuid", "halffloat"])  # fmt: skip
def test_a_column_that_holds_no_texts_is_refused_with_its_type(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        from_table(pa.table({"text": TYPED[name]}))
    assert refused.value.field == "text_column"
    assert f"of type {str(TYPED[name].type).partition('<')[0]}" in str(refused.value)


@pytest.mark.parametrize(
    "texts",
    [
        pa.array([b"I will find you.", None, "é".encode()]),
        pa.array([b"I will find you.", None, "é".encode()], pa.large_binary()),
        pa.array([b"I will find you.", None, "é".encode()], pa.binary_view()),
        pa.array(["I will find you.", None, "é"]),
        pa.array(["I will find you.", None, "é"], pa.large_string()),
        pa.array(["I will find you.", None, "é"], pa.string_view()),
        pa.array(["I will find you.", None, "é"]).dictionary_encode(),
        pa.array([b"I will find you.", None, "é".encode()]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_texts_of_any_type_are_read_as_texts(texts: pa.Array) -> None:
    expected = ["I will find you.", "", "é"]
    items = from_table(pa.table({"text": texts})).items(lambda _: None)
    assert [json.loads(item) for item in items] == [{"text": text} for text in expected]
    assert [row[0] for row in rows_of(answered(from_table(pa.table({"text": texts}))))[1:]] == expected
    back = pq.read_table(io.BytesIO(answered(from_table(pa.table({"text": texts})), BodyFormat.PARQUET)))
    assert back.column("text").to_pylist() == texts.to_pylist()


@pytest.mark.parametrize("n_before", [0, 1, 70])
def test_bytes_that_are_no_utf8_are_refused_with_their_row(n_before: int) -> None:
    table = from_table(pa.table({"text": [b"a"] * n_before + [b"CaNaRy\xff"]}))
    with pytest.raises(InvalidInput, match="not UTF-8") as refused:
        list(table.items(lambda _: None))
    assert refused.value.field == f"row {n_before + 1}"


IDS = {
    "string": (["a", "b"], ["a", "b"]),
    "numbers": ([2**53 + 1, -7], ["9007199254740993", "-7"]),
    "unsigned": (pa.array([2**64 - 1, 0], pa.uint64()), ["18446744073709551615", "0"]),
    "decimals": ([Decimal("1.50"), Decimal("0.10")], ["1.50", "0.10"]),
    "dates": ([date(2031, 1, 31), date(2031, 2, 1)], ["2031-01-31", "2031-02-01"]),
    "times": ([datetime(2031, 1, 31, 1, 2, 3), None], ["2031-01-31 01:02:03.000000", None]),
    "nanoseconds": (pa.array([1, None], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001", None]),
    "booleans": ([True, False], ["true", "false"]),
    "floats": ([0.1, 2.5], ["0.1", "2.5"]),
    "bytes": ([b"a", "é".encode()], ["a", "é"]),
    "uuids": (pa.array([UUID(int=1).bytes, UUID(int=2).bytes], pa.uuid()), [str(UUID(int=1)), str(UUID(int=2))]),
    "categories": (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    "nulls": ([None, ""], [None, None]),
}  # fmt: skip


@pytest.mark.parametrize(("ids", "expected"), IDS.values(), ids=IDS.keys())
def test_an_id_of_any_scalar_type_keeps_its_exact_form(ids: Any, expected: list[str | None]) -> None:
    table = from_table(pa.table({"text": ["x", "y"], "id": ids}))
    assert [json.loads(item).get("id") for item in table.items(lambda _: None)] == expected


def test_an_id_that_is_a_list_is_refused_with_its_type() -> None:
    with pytest.raises(InvalidInput, match="of type list") as refused:
        from_table(pa.table({"text": ["x"], "id": [[1]]}))
    assert refused.value.field == "id_column"
