"""Reads forms: those of fields alone, and multipart forms with one file, in blocks. A file is never held whole.

A multipart form's parts may come in any order.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, ClassVar
from urllib.parse import parse_qsl

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from lengthwise.errors import InvalidInput, TooLarge

# The parser's log lines repeat bytes of the form. What is wrong with it is also raised, so no line is missed.
logging.getLogger(MultipartParser.__module__).addFilter(lambda _: False)

#: Bytes that a form may have besides its file.
FORM_BYTES = 2**16
_MAX_HEADER_BYTES = 2**13
_BLOCK = 2**18
#: Fields of a form without a file. A page with a hundred boxes to tick has as many.
_MAX_FIELDS = 200

#: What a form says, by the names of its fields. A name may occur several times.
Fields = dict[str, list[str]]


async def read_fields(request: Request) -> Fields:
    """The fields of an ``application/x-www-form-urlencoded`` body.

    Raises ``InvalidInput``, and ``TooLarge`` for more than 64 KiB. Another content type is a 415.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "the content type is application/x-www-form-urlencoded")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > FORM_BYTES:
            raise TooLarge(f"a form may have at most {FORM_BYTES} bytes", "body")
    try:
        pairs = parse_qsl(
            data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS, encoding="utf-8"
        )
    except ValueError:
        raise InvalidInput("not a valid form", "body") from None
    found: Fields = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


@dataclass
class FileForm:
    """One multipart form. Feed all of it first: only then are its other fields known and checked."""

    #: The most parts, the most bytes of a field, and the bytes of each chunk of the file but the last.
    max_parts: ClassVar[int] = 16
    max_value_bytes: ClassVar[int] = 2**10
    chunk_bytes: ClassVar[int] = 2**18

    content_type: str
    max_bytes: int
    filename: str = field(default="", init=False)
    fields: dict[str, str] = field(default_factory=dict, init=False)
    has_file: bool = field(default=False, init=False)
    _name: bytes = field(default=b"", init=False)
    _header: bytes = field(default=b"", init=False)
    _value: bytearray = field(default_factory=bytearray, init=False)
    _pending: bytearray = field(default_factory=bytearray, init=False)
    _disposition: bytes = field(default=b"", init=False)
    _n_parts: int = field(default=0, init=False)
    _n_headers: int = field(default=0, init=False)
    _n_bytes: int = field(default=0, init=False)
    _is_file: bool = field(default=False, init=False)
    _is_over: bool = field(default=False, init=False)
    _parser: MultipartParser | None = field(default=None, init=False, repr=False)

    def chunks(self, source: IO[bytes]) -> Iterator[bytes]:
        """The file of the form that ``source`` holds. Raises what ``feed`` and ``finish`` raise."""
        pending = bytearray()
        while block := source.read(_BLOCK):
            pending += self.feed(block)
            while len(pending) >= self.chunk_bytes:
                yield self.looked_at(bytes(pending[: self.chunk_bytes]))
                del pending[: self.chunk_bytes]
        self.finish()
        if pending:
            yield self.looked_at(bytes(pending))

    def feed(self, data: bytes) -> bytes:
        """Takes the next bytes of the form, and returns those of them that are the file's.

        Raises ``InvalidInput``, and ``TooLarge`` for a file of more than ``max_bytes``.
        """
        if self._parser is None:
            self._parser = MultipartParser(self._boundary(), self._callbacks())
        try:
            self._parser.write(data)
        except MultipartParseError:
            raise InvalidInput("not a valid multipart form", "body") from None
        found = bytes(self._pending)
        self._pending.clear()
        return found

    def finish(self) -> None:
        """Call it at the form's end. Raises ``InvalidInput`` if that is missing, and what ``check`` raises."""
        if not self._is_over:
            raise InvalidInput("the multipart form has no end", "body")
        self.check()

    def looked_at(self, chunk: bytes) -> bytes:
        """The next chunk of the file. A subclass may refuse it by raising ``InvalidInput``."""
        return chunk

    def check(self) -> None:
        """Called once all fields are known. A subclass may raise ``InvalidInput``."""

    def _boundary(self) -> bytes:
        _, options = parse_options_header(self.content_type)
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:
            raise InvalidInput("a multipart form names its boundary", "body")
        return boundary

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_to_header,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._n_parts += 1
        if self._n_parts > self.max_parts:
            raise InvalidInput(f"a form may have at most {self.max_parts} parts", "body")
        self._header, self._disposition, self._n_headers = b"", b"", 0
        self._value = bytearray()

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._value += data[start:end]

    def _count_header(self, n_bytes: int) -> None:
        self._n_headers += n_bytes
        if self._n_headers > _MAX_HEADER_BYTES:
            raise InvalidInput("a part's headers are too long", "body")

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header, self._value = b"", bytearray()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"")
        self._is_file = self._name == b"file" and b"filename" in options
        if self._is_file:
            if self.has_file:
                raise InvalidInput("occurs more than once", "file")
            self.has_file = True
            self.filename = _plain(options[b"filename"])

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._n_bytes += end - start
            if self._n_bytes > self.max_bytes:
                raise TooLarge(f"may have at most {self.max_bytes} bytes", "file")
            self._pending += memoryview(data)[start:end]
        else:
            self._value += data[start:end]
            if len(self._value) > self.max_value_bytes:
                raise InvalidInput("a field of the form is too long", "body")

    def _end(self) -> None:
        if not self._is_file:
            self.fields[self._name.decode("utf-8", "replace")] = self._value.decode("utf-8", "replace")

    def _finish(self) -> None:
        self._is_over = True


def _plain(name: bytes) -> str:
    """The file's name without folders and control characters."""
    text = PurePosixPath(name.decode("utf-8", "replace").replace("\\", "/")).name
    return "".join(character for character in text if character.isprintable())[:255] or "file"
