"""CSV and Parquet become items: any text survives, and an error names the row that is not strict."""

import csv
import io
import json
from tempfile import SpooledTemporaryFile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.http import body
from api.jobs.tables.csv_items import CsvTable
from api.jobs.tables.parquet_items import ParquetTable
from api.jobs.tables.table_row import TableColumns
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.formats.source import RowBlock
from lengthwise.settings import Settings

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
#: Rows that are wholly empty are left out.
ROWS = st.lists(st.tuples(TEXT, TEXT, TEXT).filter(any), max_size=8)
NAMED = TableColumns(text_column="t,x", id_column="i", metadata_columns=['m"'])
HEADER = ["i", "t,x", 'm"']

patient = settings(deadline=None)
SETTINGS = Settings(max_line_bytes=200, max_body_bytes=20_000)


def from_csv(content: bytes, columns: TableColumns = NAMED, current: Settings = SETTINGS) -> list[Any]:
    return [json.loads(item) for item in CsvTable(io.BytesIO(content), columns, current).items(no_rows)]


def from_parquet(file: io.BytesIO, columns: TableColumns, current: Settings = SETTINGS) -> list[Any]:
    with SpooledTemporaryFile(max_size=1000) as spooled:
        spooled.write(file.getvalue())
        return [json.loads(item) for item in ParquetTable(spooled, columns, current).items(no_rows)]


def no_rows(block: RowBlock) -> None:
    """The rows themselves are of no interest here."""


def expected(rows: list[tuple[str, str, str]]) -> list[Any]:
    return [{"text": text} | ({"id": name} if name else {}) | {"metadata": {'m"': more}} for name, text, more in rows]


@patient
@given(rows=ROWS, end=st.sampled_from(["\n", "\r\n"]), mark=st.sampled_from(["", "\ufeff"]), quote=st.booleans())
def test_any_text_survives_csv(rows: list[tuple[str, str, str]], end: str, mark: str, quote: bool) -> None:
    out = io.StringIO(newline="")
    # If lines end in LF alone, Python's writer does not quote a CR.
    is_quoted = quote or end == "\n"
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL)
    writer.writerows([HEADER, *rows])
    content = (mark + out.getvalue()).encode()
    assert from_csv(content, current=Settings()) == expected(rows)


@patient
@given(rows=ROWS)
def test_any_text_survives_parquet(rows: list[tuple[str, str, str]]) -> None:
    columns = [pa.array([row[at] for row in rows], pa.string()) for at in range(3)]
    file = io.BytesIO()
    pq.write_table(pa.table(columns, HEADER), file, row_group_size=3)
    assert from_parquet(file, NAMED, Settings()) == expected(rows)


BAD_CSV = {
    "nothing": (b"", "body", None),
    "a blank first line": (b"\r\ni\r\n", "body", None),
    "no such column": (b"i,text\r\n1,a\r\n", "text_column", None),
    "no such id": (b'"t,x"\r\na\r\n', "id_column", None),
    "a column twice": (b'i,i,"t,x","m"""\r\n1,2,3,4\r\n', "id_column", None),
    "no such metadata": (b'i,"t,x"\r\n1,2\r\n', "metadata_columns[0]", None),
    "a short row": (b'i,"t,x","m"""\r\n1,2,3\r\n\r\n1,"a\nb"\r\n', "row 4", 1),
    "a long row": (b'i,"t,x","m"""\r\n1,2,3,4\r\n', "row 2", 0),
    "a lone quote": (b'i,"t,x","m"""\r\n1,2,3\r\n1,"2,3\r\n', "row 3", None),
    "text behind a quote": (b'i,"t,x","m"""\r\n1,"2"CaNaRy,3\r\n', "row 2", None),
    "not utf-8": (b'i,"t,x","m"""\r\n1,CaNaRy\xff,3\r\n', "row 2", None),
    "utf-16": ('i,"t,x","m"""\r\n1,2,3\r\n'.encode("utf-16"), "row 1", None),
    "a surrogate": (b'i,"t,x","m"""\r\n1,\xed\xa0\x80,3\r\n', "row 2", None),
}


@pytest.mark.parametrize(("content", "field", "index"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_csv_that_is_not_strict_names_its_row(content: bytes, field: str, index: int | None) -> None:
    with pytest.raises(InvalidInput) as refused:
        from_csv(content)
    assert (refused.value.field, refused.value.index) == (field, index)
    assert "CaNaRy" not in str(refused.value)


@pytest.mark.parametrize("row", [b"x" * 201, b'"' + b"x\n" * 101, b'1,"' + b"x" * 10_000 + b'",3'])
def test_a_row_over_its_limit_is_too_large(row: bytes) -> None:
    with pytest.raises(TooLarge) as refused:
        from_csv(b'i,"t,x","m"""\r\n1,2,3\r\n' + row)
    assert refused.value.field == "row 3"


@pytest.mark.parametrize("row", ["\r", "\n", "\r\n", ",,\n", '"","",""\n'])
def test_blank_rows_are_left_out_up_to_a_number(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MOST_BLANK_LINES", 5000)
    whole = b'i,"t,x","m"""\n1,2,3\n' + row.encode() * 5000
    assert len(from_csv(whole)) == 1
    with pytest.raises(TooLarge, match="at most 5000 blank lines"):
        from_csv(whole + row.encode())


def test_a_csv_table_has_so_many_columns_at_most() -> None:
    content = ",".join(["text", *(f"c{at}" for at in range(2000))]).encode() + b"\n"
    with pytest.raises(TooLarge, match="a table may have at most 2000 columns"):
        from_csv(content, TableColumns(), Settings())
    assert from_csv(content, TableColumns(), Settings(max_columns=2001)) == []


def test_a_value_that_json_lacks_becomes_the_nearest_one() -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "id": [7], "f": [float("nan")], "b": [b"\xff"], "n": [None]}), file)
    columns = TableColumns(metadata_columns=["f", "b", "n"])
    assert from_parquet(file, columns) == [{"text": "a", "id": "7", "metadata": {"f": None, "b": "_w==", "n": None}}]


def written(content: dict[str, Any], **more: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(content), file, **more)
    return file.getvalue()


WHOLE = written({"text": ["CaNaRy"] * 200})


@patient
@given(data=st.data())
def test_damaged_parquet_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        from_parquet(io.BytesIO(bytes(content)), TableColumns())
    except InvalidInput as error:
        assert "CaNaRy" not in str(error)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 99 + b"PAR1", WHOLE[:-5], WHOLE[:60], b"a,b\r\n"])
def test_a_file_that_is_not_parquet_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="not valid Parquet"):
        from_parquet(io.BytesIO(content), TableColumns())


def test_a_small_parquet_file_that_expands_too_much_is_too_large() -> None:
    bomb = written({"text": ["x" * 150] * 10_000})
    assert len(bomb) < 20_000
    with pytest.raises(TooLarge):
        from_parquet(io.BytesIO(bomb), TableColumns())
    with pytest.raises(TooLarge) as refused:
        from_parquet(io.BytesIO(written({"text": ["a", "x" * 300]})), TableColumns())
    assert (refused.value.field, refused.value.index) == ("row 2", 1)
