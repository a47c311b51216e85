"""The form with which a file is sent: its fields, and the file while it arrives."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar
from uuid import uuid4

from fastapi import Request
from pydantic_core import from_json
from starlette.datastructures import Headers

from api.http.form import FileForm
from api.http.identifier import identifier
from api.http.spool import Spools
from api.jobs.body_format import BodyDescription, BodyFormat
from api.jobs.tables import result_table
from lengthwise.errors import InvalidInput
from lengthwise.formats import dialect
from lengthwise.formats.file import FORMATS
from lengthwise.kinds import KINDS

#: By the name that the form gives a format. A text becomes NDJSON before it is read.
BODY_FORMATS = {
    "csv": BodyFormat.CSV,
    "tsv": BodyFormat.CSV,
    "ndjson": BodyFormat.NDJSON,
    "txt": BodyFormat.NDJSON,
    "parquet": BodyFormat.PARQUET,
}
PRIORITIES = ("interactive", "normal", "background")
#: Fields of the form that are fields of a job's header, as they are.
_OF_HEADER = ("kind", "model", "name")
#: Those that name columns of a table, or say how it is read.
_OF_TABLE = ("text_column", "id_column", "delimiter", "encoding")


@dataclass
class JobForm(FileForm):
    """Has more fields than an upload of OpenAI's API: each kind has options."""

    max_parts: ClassVar[int] = 100
    max_value_bytes: ClassVar[int] = 2**12

    def check(self) -> None:
        if not self.has_file or not self._n_bytes:  # a form without a file has an empty one
            raise InvalidInput("choose a file that is not empty", "file")


class FilePart:
    """The file of a form while it arrives, as if it were a request's body. The form's fields are known at its end.

    It is parsed in a thread: a file that looks like the form's boundaries is gone over byte by byte.
    """

    def __init__(self, request: Request, form: JobForm, spools: Spools) -> None:
        self._request, self._form, self._spools = request, form, spools
        self.headers = Headers()

    async def stream(self) -> AsyncIterator[bytes]:
        async for data in self._request.stream():
            if found := await self._spools.in_thread(self._form.feed, data):
                yield found
        self._form.finish()


@dataclass(frozen=True, slots=True)
class SentForm:
    """What was typed. An empty field is one that was not given."""

    typed: Mapping[str, str]
    filename: str = ""

    def field(self, name: str) -> str:
        return self.typed.get(name, "").strip()

    @property
    def once(self) -> str:
        """Names this form, so that sending it twice makes one job. Raises ``NotFound`` for what is no such name."""
        return f"page-{identifier(self.field('once') or str(uuid4()), 'form')}"

    @property
    def file_format(self) -> str:
        """The format that was chosen, or that the file's name says. Raises ``InvalidInput``."""
        suffix = PurePosixPath(self.filename).suffix.lower()
        found = self.field("format") or FORMATS.get(suffix, "")
        if found not in BODY_FORMATS:
            raise InvalidInput("choose a format: the file's name does not say it", "format")
        return found

    @property
    def encoding(self) -> str:
        """Of a text, the encoding's name in Python. Raises ``InvalidInput``."""
        try:
            return dialect.encoding(self.field("encoding") or "utf-8")
        except ValueError as error:
            raise InvalidInput(str(error), "encoding") from None

    def described(self) -> BodyDescription:
        """The body's format, with the job's header. Raises ``InvalidInput``."""
        named = self.file_format
        body_format = BODY_FORMATS[named]
        if body_format is BodyFormat.PARQUET:
            result_table.check(body_format, "format")
        header = self._header()
        if body_format is not BodyFormat.NDJSON:
            header |= self._columns(header)
        return BodyDescription(body_format, json.dumps(header).encode())

    def _header(self) -> dict[str, Any]:
        header: dict[str, Any] = {name: value for name in _OF_HEADER if (value := self.field(name))}
        header["priority"] = self.field("priority") or "normal"
        header["source_file"] = self.filename
        if tags := [tag.strip() for tag in self.field("tags").split(",") if tag.strip()]:
            header["tags"] = tags
        if url := self.field("webhook"):
            header["webhook"] = {"url": url}
        if deadline := self.field("deadline"):
            header["deadline"] = _utc(deadline)
        return header | self._options() | _parameters(self.typed.get("parameters", ""))

    def _options(self) -> dict[str, str]:
        """The options of the kind that was chosen; those of other kinds stay unread."""
        kind = KINDS.usable().get(self.field("kind"))
        named = (
            {each.param: self.field(option_name(kind.name, each.param)) for each in kind.command_options}
            if kind
            else {}
        )
        return {param: value for param, value in named.items() if value}

    def _columns(self, header: dict[str, Any]) -> dict[str, Any]:
        """As ``api.jobs.tables.table_row.TableColumns``. Several targets in one field are the targets of each row."""
        found: dict[str, Any] = {name: value for name in _OF_TABLE if (value := self.field(name))}
        target = header.get("target", "")
        if isinstance(target, str) and "," in target:
            del header["target"]
            found["targets"] = [part.strip() for part in target.split(",") if part.strip()]
        return found


def option_name(kind: str, param: str) -> str:
    """The name of the field for a kind's option."""
    return f"{kind}.{param}"


def _utc(given: str) -> str:
    """A time from the browser's field, which has no zone and no seconds. Anything else is left to the job's reader."""
    return f"{given}:00Z" if len(given) == len("2031-01-31T12:00") else given


def _parameters(lines: str) -> dict[str, Any]:
    """NAME=VALUE, one a line, as ``lengthwise submit --param`` has it. Raises ``InvalidInput``."""
    found: dict[str, Any] = {}
    for line in filter(str.strip, lines.splitlines()):
        name, equals, value = line.strip().partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput("must be NAME=VALUE, such as temperature=0.7, one a line", "parameters")
        try:
            found[name] = from_json(value, allow_inf_nan=False)
        except ValueError:
            found[name] = value
    return found
