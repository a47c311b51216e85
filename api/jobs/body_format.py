"""The formats in which a job may be sent. Each is read as the job's header and its items, one by one.

A JSON body holds the job's header itself; an NDJSON body has it on its first line. The HTTP header ``lengthwise-job``
may hold it instead: then each line of NDJSON is an item. CSV and Parquet always need the HTTP header.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import IO, Annotated, Any, NamedTuple

from fastapi import Depends, Header, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from api.http import body
from api.jobs.tables.csv_items import CsvTable
from api.jobs.tables.table_row import TableColumns
from api.problem import invalid
from lengthwise.errors import InvalidInput
from lengthwise.formats.source import Keep, SourceTable
from lengthwise.settings import Settings

HEADER_NAME = "lengthwise-job"


class BodyFormat(StrEnum):
    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    CSV = "text/csv"
    PARQUET = "application/vnd.apache.parquet"


_ALIASES = {"application/jsonl": BodyFormat.NDJSON}


@dataclass(frozen=True, slots=True)
class BodyDescription:
    """The format of a body, and the job's header if an HTTP header has it."""

    format: BodyFormat
    header: bytes | None

    def limit(self, current: Settings) -> int:
        """The most bytes that the body may have."""
        return current.max_json_bytes if self.format is BodyFormat.JSON else current.max_body_bytes

    @property
    def name(self) -> bytes:
        """Part of the request's hash: the same body in another format is another request."""
        return self.format.name.lower().encode() + b"\n" + (b"" if self.header is None else self.header + b"\n")


_JobHeader = Annotated[
    str | None,
    Header(
        alias=HEADER_NAME,
        description="The job without its items, as JSON in UTF-8: for CSV and Parquet, whose columns it names too, and "
        "for NDJSON whose lines are all items.",
        examples=['{"kind":"translate","source":"zh","target":"en","text_column":"title"}'],
    ),
]


async def _described(request: Request, header: _JobHeader = None) -> BodyDescription:
    """Reads the headers. An unknown content type is a 415."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        body_format = _ALIASES.get(content_type) or BodyFormat(content_type)
    except ValueError:
        raise HTTPException(415, f"the content type is one of these: {', '.join(BodyFormat)}") from None
    if body_format is BodyFormat.PARQUET:
        _require_parquet()
    if len(request.headers.getlist(HEADER_NAME)) > 1:
        raise InvalidInput("is given more than once", HEADER_NAME)
    if header is None and body_format in (BodyFormat.CSV, BodyFormat.PARQUET):
        raise InvalidInput("is missing: it has the job without its items, as JSON", HEADER_NAME)
    if header is not None and body_format is BodyFormat.JSON:
        raise InvalidInput("goes with NDJSON, CSV and Parquet; a JSON body is the job itself", HEADER_NAME)
    return BodyDescription(body_format, None if header is None else header.encode("latin-1"))


DescribedBody = Annotated[BodyDescription, Depends(_described)]


def _require_parquet() -> None:
    try:
        import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise HTTPException(415, "Parquet is not installed here: pip install 'lengthwise[parquet]'") from None


class SentJob(NamedTuple):
    """A job as it was sent.

    ``items`` gives values of a JSON body, or lines of JSON that are still to be parsed. The rows of a table, which has
    a ``source``, go to its argument as well, in blocks.
    """

    header: Any
    items: Callable[[Keep], Iterator[Any]]
    source: SourceTable | None = None


def parts(sent: BodyDescription, file: IO[bytes], current: Settings) -> SentJob:
    """Reads the header, and of a table its columns."""
    if sent.format is BodyFormat.JSON:
        return _json(file)
    if sent.format is BodyFormat.NDJSON:
        return _ndjson(sent, file, current.max_line_bytes)
    header = body.parse(sent.header or b"", HEADER_NAME)
    columns = _columns(header)
    is_csv = sent.format is BodyFormat.CSV
    table_type = CsvTable if is_csv else import_module("api.jobs.tables.parquet_items").ParquetTable
    table = table_type(file, columns, current)
    return SentJob(header, table.items, table.source)


def _json(file: IO[bytes]) -> SentJob:
    header = body.parse_whole(file.read())
    items = header.pop("items", []) if isinstance(header, dict) else []
    if not isinstance(items, list):
        raise InvalidInput("items is a list", "items")
    return SentJob(header, lambda _: iter(items))


def _ndjson(sent: BodyDescription, file: IO[bytes], max_line_bytes: int) -> SentJob:
    lines = body.lines(file, max_line_bytes)
    first = next(lines, None) if sent.header is None else sent.header
    if first is None:
        raise InvalidInput("an NDJSON body's first line is the job", "body")
    header = body.parse(first, "body" if sent.header is None else HEADER_NAME)
    if isinstance(header, dict) and "items" in header:
        raise InvalidInput("the items of an NDJSON body are its further lines", "items")
    return SentJob(header, lambda _: lines)


def _columns(header: Any) -> TableColumns:
    """Takes the names of columns out of the header."""
    if not isinstance(header, dict):
        raise InvalidInput("a job is a JSON object", HEADER_NAME)
    if "items" in header:
        raise InvalidInput("the items are the body's rows", "items")
    try:
        return TableColumns.model_validate(
            {name: header.pop(name) for name in TableColumns.model_fields if name in header}
        )
    except ValidationError as error:
        raise invalid(error) from None
