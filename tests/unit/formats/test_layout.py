"""Results become CSV and Parquet with one row each and dotted column names, and can be read back."""

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from lengthwise.formats import csv_lines, parquet_file
from lengthwise.formats.layout import MAX_COLUMNS, Layout

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
