"""Reads an upload's multipart form in blocks. Its parts may come in any order, and the file is never held whole."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from lengthwise import encoding
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.ledger.openai.file import CHUNK_BYTES

# The parser's log lines repeat bytes of the form. What is wrong with it is also raised, so no line is missed.
logging.getLogger(MultipartParser.__module__).addFilter(lambda _: False)

#: Bytes that a form may have besides its file.
FORM_BYTES = 2**16
_MAX_PARTS = 16
_MAX_HEADER_BYTES = 2**13
_MAX_VALUE_BYTES = 2**10
_BLOCK = 2**18
#: OpenAI's bounds of ``expires_after[seconds]``.
_KEEP_SECONDS = (3600, 2_592_000)


@dataclass
class Upload:
    """One upload. Read all ``chunks`` first: only then are the form's other fields known and checked."""

    content_type: str
    max_bytes: int
    #: Lines that the file may have, blank ones included.
    max_lines: int
    filename: str = ""
    _fields: dict[str, str] = field(default_factory=dict)
    _name: bytes = b""
    _header: bytes = b""
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""
    _n_parts: int = 0
    _n_headers: int = 0
    _n_bytes: int = 0
    _n_lines: int = 0
    _has_file: bool = False
    _is_file: bool = False
    _is_over: bool = False
    _is_begun: bool = False

    def chunks(self, source: IO[bytes]) -> Iterator[bytes]:
        """Raises ``InvalidInput``, and ``TooLarge`` for a file of more than ``max_bytes``."""
        parser = MultipartParser(self._boundary(), self._callbacks())
        pending = self._pending = bytearray()
        while block := source.read(_BLOCK):
            try:
                parser.write(block)
            except MultipartParseError:
                raise InvalidInput("not a valid multipart form", "body") from None
            while len(pending) >= CHUNK_BYTES:
                yield self._looked_at(bytes(pending[:CHUNK_BYTES]))
                del pending[:CHUNK_BYTES]
        if not self._is_over:
            raise InvalidInput("the multipart form has no end", "body")
        self._check()
        if pending:
            yield self._looked_at(bytes(pending))

    def _looked_at(self, chunk: bytes) -> bytes:
        """The chunk. The first is checked: its lines are read later, but no line of such a file could be.

        A file of nothing but ends of lines would take long to read.
        """
        if not self._is_begun and (found := encoding.signature(chunk)):
            raise InvalidInput(f"this is {found}: upload lines of JSON in UTF-8, not compressed", "file")
        self._is_begun = True
        self._n_lines += chunk.count(b"\n")
        if self._n_lines > self.max_lines:
            raise TooLarge(f"may have at most {self.max_lines} lines", "file")
        return chunk

    def keep_seconds(self, default: int) -> int:
        """How long the caller wants to keep the file, in seconds; ``default`` if it does not say."""
        seconds = self._fields.get("expires_after[seconds]")
        return default if seconds is None else int(seconds)

    @property
    def purpose(self) -> str:
        return self._fields["purpose"]

    def _check(self) -> None:
        if not self._has_file:
            raise InvalidInput("is missing: the form has no part of this name with a filename", "file")
        if self._fields.get("purpose") != "batch":
            raise InvalidInput("must be batch: no other purpose is supported", "purpose")
        if self._fields.get("expires_after[anchor]", "created_at") != "created_at":
            raise InvalidInput("must be created_at", "expires_after[anchor]")
        seconds = self._fields.get("expires_after[seconds]", "3600")
        shortest, longest = _KEEP_SECONDS
        if not (
            seconds.isascii() and seconds.isdecimal() and len(seconds) < 10 and shortest <= int(seconds) <= longest
        ):
            raise InvalidInput(f"must be a whole number from {shortest} to {longest}", "expires_after[seconds]")

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
        if self._n_parts > _MAX_PARTS:
            raise InvalidInput(f"a form may have at most {_MAX_PARTS} parts", "body")
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
            if self._has_file:
                raise InvalidInput("occurs more than once", "file")
            self._has_file = True
            self.filename = _plain(options[b"filename"])

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._n_bytes += end - start
            if self._n_bytes > self.max_bytes:
                raise TooLarge(f"may have at most {self.max_bytes} bytes", "file")
            self._pending += memoryview(data)[start:end]
        else:
            self._value += data[start:end]
            if len(self._value) > _MAX_VALUE_BYTES:
                raise InvalidInput("a field of the form is too long", "body")

    def _end(self) -> None:
        if not self._is_file:
            self._fields[self._name.decode("utf-8", "replace")] = self._value.decode("utf-8", "replace")

    def _finish(self) -> None:
        self._is_over = True


def _plain(name: bytes) -> str:
    """The file's name without folders and control characters."""
    text = PurePosixPath(name.decode("utf-8", "replace").replace("\\", "/")).name
    return "".join(character for character in text if character.isprintable())[:255] or "file"
