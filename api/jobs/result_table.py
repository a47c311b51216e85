"""Writes a job's results as CSV or Parquet. They are kept in a file until all columns are known."""

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


def check(body_format: BodyFormat, asked_by: str) -> None:
    """Raises ``InvalidInput`` if this installation cannot write the format; ``asked_by`` names the parameter."""
    if body_format is BodyFormat.PARQUET:
        try:
            import_module("pyarrow.parquet")
        except ModuleNotFoundError:
            raise InvalidInput("Parquet is not installed here: pip install 'lengthwise[parquet]'", asked_by) from None


def written(pages: Iterable[bytes], body_format: BodyFormat) -> Iterator[bytes]:
    """The table of these results, in parts. All results are read before this returns.

    Raises what reading them raises, and ``Unavailable`` if the disk is full.
    """
    file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 — closed by what is returned
    try:
        layout = _learn(pages, file)
        table = _table(file, layout, body_format)
        return chain([next(table)], table)  # the generator has begun, so its end closes the file
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


def _table(file: IO[bytes], layout: Layout, body_format: BodyFormat) -> Iterator[bytes]:
    with file:
        if body_format is BodyFormat.CSV:
            yield from csv_lines.written(file, layout)
        else:
            yield from import_module("lengthwise.formats.parquet_file").written(file, layout)
