"""Results as CSV (RFC 4180): UTF-8, with a header row, and with CR LF at the end of each line."""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import islice
from typing import Any

from pydantic_core import from_json, to_json

from lengthwise.formats.layout import Layout

_BLOCK_ROWS = 200


def written(lines: Iterable[bytes], layout: Layout) -> Iterator[bytes]:
    """Converts lines of JSON to CSV. Yields the header row, then blocks of rows.

    A string is written as it is; numbers, true, false and lists as JSON. A value that is null or missing is empty.
    """
    yield _text([[column.name for column in layout.columns]])
    rows = layout.rows(map(from_json, lines))
    while block := list(islice(rows, _BLOCK_ROWS)):
        yield _text([_cell(value) for value in row] for row in block)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()


def _text(rows: Iterable[list[str]]) -> bytes:
    out = StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()
