"""The forms that a job may be sent in: each becomes the job's head, and its items one by one.

JSON holds the head itself, and NDJSON does on its first line. Where the header ``lengthwise-job`` has the head, each
line of NDJSON is an item; CSV and Parquet, which have no place for a head, need it there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import IO, Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from api.http import body
from api.jobs import csv_items
from api.jobs.table_row import TableColumns
from api.problem import invalid
from lengthwise.errors import InvalidInput
from lengthwise.settings import Settings

HEAD = "lengthwise-job"


class BodyFormat(StrEnum):
    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    CSV = "text/csv"
    PARQUET = "application/vnd.apache.parquet"


_ALIASES = {"application/jsonl": BodyFormat.NDJSON}


@dataclass(frozen=True, slots=True)
class BodyDescription:
    """What a request says of its body."""

    form: BodyFormat
    head: bytes | None

    def limit(self, current: Settings) -> int:
        """The most bytes that the body may have."""
        return current.max_json_bytes if self.form is BodyFormat.JSON else current.max_body_bytes

    @property
    def name(self) -> bytes:
        """What, beside the body, makes one request another."""
        return self.form.name.lower().encode() + b"\n" + (b"" if self.head is None else self.head + b"\n")


_Head = Annotated[
    str | None,
    Header(
        alias=HEAD,
        description="The job without its items, as JSON in UTF-8: for CSV and Parquet, whose columns it names too, and "
        "for NDJSON of nothing but items.",
        examples=['{"kind":"translate","source":"zh","target":"en","text_column":"title"}'],
    ),
]


async def _sent(request: Request, given: _Head = None) -> BodyDescription:
    """What the body is. Any other content type is a 415."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        form = _ALIASES.get(named) or BodyFormat(named)
    except ValueError:
        raise HTTPException(415, f"the content type is one of these: {', '.join(BodyFormat)}") from None
    if form is BodyFormat.PARQUET:
        _require_parquet()
    if len(request.headers.getlist(HEAD)) > 1:
        raise InvalidInput("is given more than once", HEAD)
    if given is None and form in (BodyFormat.CSV, BodyFormat.PARQUET):
        raise InvalidInput("is missing: it has the job without its items, as JSON", HEAD)
    if given is not None and form is BodyFormat.JSON:
        raise InvalidInput("goes with NDJSON, CSV and Parquet; a JSON body is the job itself", HEAD)
    return BodyDescription(form, None if given is None else given.encode("latin-1"))


DescribedBody = Annotated[BodyDescription, Depends(_sent)]


def _require_parquet() -> None:
    try:
        import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise HTTPException(415, "Parquet is not installed here: pip install 'lengthwise[parquet]'") from None


def parts(sent: BodyDescription, file: IO[bytes], current: Settings) -> tuple[Any, Iterator[Any]]:
    """The job's head and its items: values of a JSON body, or one item's JSON each, still to be parsed."""
    if sent.form is BodyFormat.JSON:
        return _json(file)
    if sent.form is BodyFormat.NDJSON:
        return _ndjson(sent, file, current.max_line_bytes)
    head = body.parse(sent.head or b"", HEAD)
    columns = _columns(head)
    if sent.form is BodyFormat.CSV:
        return head, csv_items.of_csv(file, columns, current)
    return head, import_module("api.jobs.parquet_items").items(file, columns, current)


def _json(file: IO[bytes]) -> tuple[Any, Iterator[Any]]:
    head = body.parse(file.read())
    items = head.pop("items", []) if isinstance(head, dict) else []
    if not isinstance(items, list):
        raise InvalidInput("items is a list", "items")
    return head, iter(items)


def _ndjson(sent: BodyDescription, file: IO[bytes], max_line_bytes: int) -> tuple[Any, Iterator[Any]]:
    source = body.lines(file, max_line_bytes)
    first = next(source, None) if sent.head is None else sent.head
    if first is None:
        raise InvalidInput("an NDJSON body's first line is the job", "body")
    head = body.parse(first, "body" if sent.head is None else HEAD)
    if isinstance(head, dict) and "items" in head:
        raise InvalidInput("the items of an NDJSON body are its further lines", "items")
    return head, source


def _columns(head: Any) -> TableColumns:
    """Those that the head names, which are then no longer in it."""
    if not isinstance(head, dict):
        raise InvalidInput("a job is a JSON object", HEAD)
    if "items" in head:
        raise InvalidInput("the items are the body's rows", "items")
    try:
        return TableColumns.model_validate({name: head.pop(name) for name in TableColumns.model_fields if name in head})
    except ValidationError as error:
        raise invalid(error) from None
