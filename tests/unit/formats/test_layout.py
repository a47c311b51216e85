"""Results become CSV and Parquet with one row each and dotted column names, and can be read back."""

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lengthwise.formats import csv_lines, parquet_file
from lengthwise.formats.cells import CellsLayout
from lengthwise.formats.layout import MAX_COLUMNS, Layout
from lengthwise.formats.source import BlockBuilder, CsvBlocks, RowBlock, SourceTable

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SCALAR = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
NAME = st.sampled_from(["a", "b", "c.d", ""])
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3))
RESULTS = st.lists(
    st.fixed_dictionaries(
        {"status": st.just("succeeded"), "output": st.dictionaries(NAME, VALUE, max_size=3)},
        optional={"id": TEXT, "metadata": st.dictionaries(NAME, VALUE, max_size=3)},
    ),
    max_size=6,
).map(lambda found: [{"index": at, **result} for at, result in enumerate(found)])


def learnt(results: list[dict[str, Any]]) -> tuple[list[bytes], Layout]:
    layout = Layout()
    for result in results:
        layout.see(result)
    return [json.dumps(result).encode() + b"\n" for result in results], layout


@settings(deadline=None)
@given(results=RESULTS)
def test_any_results_become_a_table_with_one_row_each(results: list[dict[str, Any]]) -> None:
    lines, layout = learnt(results)
    text = b"".join(csv_lines.written(lines, layout)).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    found = pq.read_table(io.BytesIO(b"".join(parquet_file.written(lines, layout)))).to_pylist()
    names = [column.name for column in layout.columns]
    assert len(names) == len(set(names))
    assert names[:3] == ["index", "id", "status"]
    assert [row["index"] for row in found] == [int(row["index"]) for row in rows] == list(range(len(results)))
    for result, flat, typed in zip(results, rows, found, strict=True):
        assert flat["id"] == result.get("id", "")
        assert typed["id"] == result.get("id")
        for name, value in result["output"].items():
            if "." not in "".join(result["output"]) and all(result["output"]) and isinstance(value, str):
                assert flat[f"output.{name}"] == value == typed[f"output.{name}"]


def test_nested_outputs_have_dotted_names_and_fitting_types() -> None:
    output = {"flagged": True, "scores": {"hate": 0.5}, "embedding": [1, 0.5], "n": 1, "mixed": 1}
    lines, layout = learnt([{"index": 0, "output": output}, {"index": 1, "output": {"n": 0.5, "mixed": "a"}}])
    found = pq.read_table(io.BytesIO(b"".join(parquet_file.written(lines, layout)))).to_pylist()
    of_output = [{name: row[name] for name in row if name.startswith("output.")} for row in found]
    assert of_output == [
        {"output.flagged": True, "output.scores.hate": 0.5, "output.embedding": [1.0, 0.5], "output.n": 1.0,
         "output.mixed": "1"},
        {"output.flagged": None, "output.scores.hate": None, "output.embedding": None, "output.n": 0.5,
         "output.mixed": "a"},
    ]  # fmt: skip
    text = b"".join(csv_lines.written(lines, layout)).decode().splitlines()
    assert text[1] == '0,,,true,0.5,"[1,0.5]",1,1,,,,,,'


def test_too_many_columns_become_one_column_of_json() -> None:
    results = [{"index": at, "metadata": {f"m{at}": at}} for at in range(MAX_COLUMNS + 5)]
    lines, layout = learnt(results)
    assert [column.name for column in layout.columns][-1] == "metadata"
    rows = list(csv.DictReader(io.StringIO(b"".join(csv_lines.written(lines, layout)).decode(), newline="")))
    assert [json.loads(row["metadata"]) for row in rows] == [result["metadata"] for result in results]


def test_no_results_become_a_table_without_rows() -> None:
    lines, layout = learnt([])
    assert b"".join(csv_lines.written(lines, layout)).startswith(
        b"index,id,status,warnings,error.code,error.message,usage."
    )
    assert pq.read_table(io.BytesIO(b"".join(parquet_file.written(lines, layout)))).num_rows == 0


def test_a_blank_item_adds_no_columns_to_those_of_the_others() -> None:
    layout = Layout()
    layout.see({"index": 0, "output": {"flagged": True, "scores": {"hate": 0.9}}, "metadata": {"x": {}}})
    layout.see({"index": 1, "output": {"flagged": False, "scores": {}}, "metadata": {}})
    own = [column.name for column in layout.columns if column.name.startswith("output")]
    assert own == ["output.flagged", "output.scores.hate"]


@pytest.mark.parametrize("large", [2**53 + 1, -(2**53) - 1, 2**60, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("other", [0.5, 1e308, -0.0])
def test_a_large_integer_among_other_numbers_stays_exact(large: int, other: float) -> None:
    for values in ([large, other], [other, large], [1, other, large], [1, large, other], [large, 1, other]):
        lines, layout = learnt([{"index": at, "metadata": {"n": value}} for at, value in enumerate(values)])
        rows = pq.read_table(io.BytesIO(b"".join(parquet_file.written(lines, layout)))).to_pylist()
        assert [json.loads(row["metadata.n"]) for row in rows] == values


@pytest.mark.parametrize("values", [[2**60, 1], [1, -(2**63)]])
def test_large_integers_alone_stay_integers(values: list[int]) -> None:
    lines, layout = learnt([{"index": at, "metadata": {"n": value}} for at, value in enumerate(values)])
    rows = pq.read_table(io.BytesIO(b"".join(parquet_file.written(lines, layout)))).to_pylist()
    assert [row["metadata.n"] for row in rows] == values


ROW_BYTES = 2**20


def wide_rows(n_rows: int) -> tuple[SourceTable, list[RowBlock]]:
    """A table of CSV with rows of a mebibyte, as it is kept."""
    blocks: list[RowBlock] = []
    builder = BlockBuilder(blocks.append, CsvBlocks().packed)
    for _ in range(n_rows):
        builder.add(["a", "x" * ROW_BYTES], 1, ROW_BYTES)
    builder.finish()
    return SourceTable("csv", ["text", "other"], ["text"]), blocks


def joined(n_rows: int) -> tuple[list[bytes], CellsLayout, SourceTable, list[RowBlock]]:
    source, blocks = wide_rows(n_rows)
    layout = CellsLayout(source)
    results = [{"index": at, "status": "succeeded"} for at in range(n_rows)]
    for result in results:
        layout.see(result)
    return [json.dumps(result).encode() + b"\n" for result in results], layout, source, blocks


def test_wide_rows_of_a_table_come_back_a_few_at_a_time() -> None:
    lines, layout, source, blocks = joined(40)
    parts = list(csv_lines.written(lines, layout, ",", source, blocks))
    assert max(map(len, parts)) < 2 * ROW_BYTES
    csv.field_size_limit(2 * ROW_BYTES)
    rows = list(csv.DictReader(io.StringIO(b"".join(parts).decode(), newline="")))
    assert [len(row["other"]) for row in rows] == [ROW_BYTES] * 40
    written = pq.ParquetFile(io.BytesIO(b"".join(parquet_file.written(lines, layout, source, blocks))))
    assert max(written.metadata.row_group(at).num_rows for at in range(written.num_row_groups)) < 12
    table = written.read().to_pydict()
    assert [len(each) for each in table["other"]] == [ROW_BYTES] * 40
    assert table["status"] == ["succeeded"] * 40


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), unique=True, min_size=1), st.integers(1, 7), st.integers(1, 300))
def test_any_rows_of_a_table_stand_beside_their_results(chosen: list[int], of_block: int, group_bytes: int) -> None:
    blocks: list[RowBlock] = []
    builder = BlockBuilder(blocks.append, CsvBlocks().packed, of_block)
    for number in range(31):
        builder.add([str(number)], 1, 1)
    builder.finish()
    source = SourceTable("csv", ["text"], ["text"])
    layout = CellsLayout(source)
    lines = []
    for number in sorted(chosen):
        layout.see(result := {"index": number, "output": {"n": number}})
        lines.append(json.dumps(result).encode() + b"\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parquet_file, "_GROUP_BYTES", group_bytes)
        patched.setattr(csv_lines, "_BLOCK_CHARACTERS", group_bytes)
        table = pq.read_table(io.BytesIO(b"".join(parquet_file.written(lines, layout, source, blocks)))).to_pydict()
        text = b"".join(csv_lines.written(lines, layout, ",", source, blocks)).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert list(map(int, table["text"])) == table["output.n"] == sorted(chosen)
    assert [(row["text"], row["output.n"]) for row in rows] == [(str(each), str(each)) for each in sorted(chosen)]
