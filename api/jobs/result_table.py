"""A job's results as CSV or Parquet: kept in a file until their columns are known, then written from it."""

import errno
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO

from pydantic_core import from_json

from api.jobs.body_format import BodyFormat
from lengthwise.errors import InvalidInput, Unavailable
from lengthwise.formats import csv_lines
from lengthwise.formats.layout import Layout

_IN_MEMORY = 2**20


def check(form: BodyFormat, asked_by: str) -> None:
    """Raises ``InvalidInput`` where this installation cannot write it; ``asked_by`` names what wanted it."""
    if form is BodyFormat.PARQUET:
        try:
            import_module("pyarrow.parquet")
        except ModuleNotFoundError:
            raise InvalidInput("Parquet is not installed here: pip install 'lengthwise[parquet]'", asked_by) from None


def written(pages: Iterable[bytes], form: BodyFormat) -> Iterator[bytes]:
    """The table of all these results. All of them have been read when this returns.

    Raises what reading them raises, and ``Unavailable`` where the disk is full.
    """
    file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 — closed by what is returned
    try:
        layout = _learn(pages, file)
        table = _table(file, layout, form)
        return chain([next(table)], table)  # begun: from here on its end closes the file
    except BaseException:
        file.close()
        raise


def _learn(pages: Iterable[bytes], file: IO[bytes]) -> Layout:
    layout = Layout()
    try:
        for page in pages:
            file.write(page)
            for line in page.splitlines():
                layout.see(from_json(line))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable("there is no room for this table", retry_after=60, full=True) from None
    file.seek(0)
    return layout


def _table(file: IO[bytes], layout: Layout, form: BodyFormat) -> Iterator[bytes]:
    with file:
        if form is BodyFormat.CSV:
            yield from csv_lines.written(file, layout)
        else:
            yield from import_module("lengthwise.formats.parquet_file").written(file, layout)
