"""A small Parquet file that stands for much is refused, and the API's own memory does not grow meanwhile."""

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.jobs.tables import parquet_items
from api.jobs.tables.parquet_items import ParquetTable
from api.jobs.tables.table_row import TableColumns
from lengthwise.errors import InvalidInput, TooBusy, TooLarge
from lengthwise.formats.source import RowBlock
from lengthwise.settings import Settings
from tests.unit.api.parquet_bombs import BOMBS, MIB, written

TIGHT = Settings(parquet_memory_bytes=64 * MIB, max_body_bytes=200 * MIB)


def items(content: bytes, current: Settings = TIGHT) -> Iterator[bytes]:
    with TemporaryFile() as file:
        file.write(content)
        yield from ParquetTable(file, TableColumns(), current).items(no_rows)


def no_rows(block: RowBlock) -> None:
    """The rows themselves are of no interest here."""


def memory(name: str) -> int:
    """This process' memory in bytes: ``VmRSS`` now, or ``VmHWM`` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_the_api_holds_it(name: str) -> None:
    bomb = BOMBS[name](256)
    assert len(bomb) < 300_000
    next(items(written(pa.table({"text": ["a"]}))))  # a child has started, and what is imported is loaded
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = memory("VmRSS")
    with pytest.raises(TooLarge):
        list(items(bomb))
    assert memory("VmHWM") - before < 24 * MIB
    assert len(list(items(written(pa.table({"text": ["a"]}))))) == 1


@pytest.mark.parametrize("name", sorted(set(BOMBS) - {"names"}))
def test_a_bomb_that_fits_into_the_memory_is_too_large_a_row(name: str) -> None:
    with pytest.raises(TooLarge, match=r"a row may have at most 1048576 bytes"):
        list(items(BOMBS[name](80), Settings()))


def test_a_bomb_whose_metadata_lies_is_refused_by_its_memory() -> None:
    bomb = BOMBS["long_text"](150)
    assert pq.ParquetFile(BytesIO(bomb)).metadata.row_group(0).total_byte_size < TIGHT.max_body_bytes
    with pytest.raises(TooLarge, match=r"needs too much memory.*send smaller files"):
        list(items(bomb))


def test_reading_for_too_long_is_refused() -> None:
    content = written(pa.table({"text": ["a"] * 1_000_000}))
    with pytest.raises(TooLarge, match=r"needs too much time.*send smaller files"):
        list(items(content, Settings(parquet_seconds=0.02)))
    assert len(list(items(content, Settings()))) == 1_000_000


def test_files_that_wait_hold_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    content = written(pa.table({"text": ["a"]}))
    monkeypatch.setattr(parquet_items, "_waiting", threading.BoundedSemaphore(1))
    with parquet_items._turn(), pytest.raises(TooBusy):
        list(items(content))
    with pytest.raises(InvalidInput):
        list(items(b"no Parquet"))
    assert len(list(items(content))) == 1


@pytest.mark.parametrize("width", [1999, 2000])
def test_a_table_has_so_many_columns_at_most(width: int) -> None:
    content = written(pa.table({"text": ["a"]} | {f"c{at}": [at] for at in range(width)}))
    if width < Settings().max_columns:
        assert len(list(items(content, Settings()))) == 1
    else:
        with pytest.raises(TooLarge, match="a table may have at most 2000 columns"):
            list(items(content, Settings()))


def test_a_table_has_so_many_rows_at_most() -> None:
    content = written(pa.table({"text": ["a"] * 101}))
    with pytest.raises(TooLarge, match="a job may have at most 100 items"):
        list(items(content, Settings(max_items=100)))


def test_long_names_of_columns_are_too_large() -> None:
    with pytest.raises(TooLarge, match="the columns' names and types"):
        list(items(written(pa.table({"text": ["a"], "n" * (2 * MIB): [1]})), Settings()))


def test_the_metadata_of_a_table_is_not_kept_with_each_block() -> None:
    content = written(pa.table({"text": ["a"] * 5000}).replace_schema_metadata({"more": "x" * MIB}))
    blocks: list[RowBlock] = []
    with TemporaryFile() as file:
        file.write(content)
        list(ParquetTable(file, TableColumns(), Settings()).items(blocks.append))
    assert len(blocks) == 5
    assert sum(len(block.content) for block in blocks) < 20_000


@pytest.mark.parametrize("depth", [40, 70, 500, 5000])
def test_deeply_nested_types_are_kept_or_refused(depth: int) -> None:
    kind = pa.int8()
    for _ in range(depth):
        kind = pa.struct([("s", kind)])
    try:
        content = written(pa.table({"text": ["a"], "more": pa.nulls(1, kind)}))
    except (pa.ArrowException, RecursionError):
        pytest.skip("pyarrow does not write it")
    try:
        assert len(list(items(content))) == 1
    except InvalidInput as error:
        assert error.field in ("body", "row 1")


def test_many_row_groups_pass_whole() -> None:
    file = BytesIO()
    table = pa.table({"text": ["a"] * 3000})
    pq.write_table(table, file, row_group_size=1)
    assert len(list(items(file.getvalue()))) == 3000


@pytest.mark.parametrize("group", [1_000, 200_000])
@pytest.mark.parametrize("page", [2**12, 2**27])
@pytest.mark.parametrize("dictionary", [True, False])
def test_honest_rows_pass_whole_within_little_memory(group: int, page: int, dictionary: bool) -> None:
    """As other writers make them: a single row group, or a single page."""
    texts = [f"text {at}" for at in range(200_000)]
    file = BytesIO()
    pq.write_table(
        pa.table({"id": texts, "text": texts}), file, row_group_size=group, data_page_size=page,
        use_dictionary=dictionary, dictionary_pagesize_limit=page,
    )  # fmt: skip
    found = list(items(file.getvalue()))
    assert len(found) == 200_000
    assert found[-1] == b'{"text":"text 199999","id":"text 199999"}'


def test_the_longest_texts_pass_whole() -> None:
    texts = [letter * 100_000 for letter in "aäあ𝄞"] * 100
    found = list(items(written(pa.table({"text": texts}), use_dictionary=False), Settings()))
    assert [len(each) for each in found[:4]] == [100_011, 200_011, 300_011, 400_011]
    assert len(found) == 400
