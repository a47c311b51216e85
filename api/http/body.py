"""Reads request bodies as JSON and as lines."""

import re
from collections.abc import Iterator
from typing import IO, Any

from pydantic_core import from_json

from lengthwise import encoding
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.inflate import ENCODINGS

#: Bytes that are read at a time and cut into lines.
_BLOCK = 2**16
#: A blank line is skipped, but costs time. A sheet of Excel has 1,048,576 rows, most of which may be blank.
MOST_BLANK_LINES = 2_000_000
#: The same for long ones.
_MOST_BLANK_BYTES = 64 * 2**20
#: Carriage returns at a line's end that do not count towards its length. Some programs write two.
_LINE_END_BYTES = 2


def parse_whole(data: bytes) -> Any:
    """A body that is one JSON value, perhaps after a byte order mark. Strict, as ``parse``. Raises ``InvalidInput``."""
    return parse(data.removeprefix(encoding.MARK), "body")


def parse(data: bytes, what: str, index: int | None = None) -> Any:
    """Strict JSON: UTF-8, no lone surrogates, no NaN or Infinity, at most 200 levels deep. Raises ``InvalidInput``.

    If a name occurs twice in an object, the last value counts. 1e999 is read as infinity, which the fields refuse.
    """
    try:
        return from_json(data, allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        # The parser's message names a position and never repeats the text.
        message = not_utf_8(data) or f"not valid JSON: {_position(str(error))}"
        raise InvalidInput(message, what, index) from None


def not_utf_8(data: bytes, or_else: str = "") -> str | None:
    """What to say of bytes that should be UTF-8: what they are, and what to send. None if they may be UTF-8.

    ``or_else`` says what else may be done about a text in another encoding.
    """
    found = encoding.name_of(data)
    if found in ENCODINGS:
        named = "on the command line, with a file name that ends in .gz or .zst"
        return f"this is {found}: send it unpacked, or with the header content-encoding: {found} ({named})"
    return found and f"this is {found}: send UTF-8{or_else}"


def _position(message: str) -> str:
    found = re.fullmatch(r"([a-zA-Z ,]+) at (line \d+ column \d+)", message)
    return f"{found[1]} at {found[2]}" if found else "it cannot be parsed"


def lines(file: IO[bytes], limit: int) -> Iterator[bytes]:
    """The lines that are not blank, without byte order marks: files that were joined have one where each begins.

    Raises ``TooLarge`` for a line of more than ``limit`` bytes, and for too many blank lines.
    """
    rest, number, n_filled = b"", 0, 0
    n_blank_bytes = 0
    while block := file.read(_BLOCK):
        n_blank_bytes += len(rest) + len(block)
        *whole, rest = (rest + block).split(b"\n")
        for line in _filled(whole, number, limit):
            n_filled += 1
            n_blank_bytes -= len(line) + 1
            yield line
        number += len(whole)
        n_blank_bytes -= len(rest)
        check_blank_lines(number - n_filled)
        if n_blank_bytes > _MOST_BLANK_BYTES:
            raise TooLarge(f"a body may have at most {_MOST_BLANK_BYTES} bytes of blank lines", "body")
        if len(rest) > limit:
            _check_line(rest, number, limit)
    yield from _filled([rest], number, limit)


def check_blank_lines(count: int) -> None:
    """Raises ``TooLarge`` if there are too many."""
    if count > MOST_BLANK_LINES:
        raise TooLarge(f"a body may have at most {MOST_BLANK_LINES} blank lines", "body")


def _filled(found: list[bytes], number: int, limit: int) -> Iterator[bytes]:
    for at, line in enumerate(found, number):
        if len(line) > limit:
            _check_line(line, at, limit)
        if line.startswith(encoding.MARK):
            line = line[len(encoding.MARK) :]
        if line and not line.isspace():
            yield line


def _check_line(line: bytes, number: int, limit: int) -> None:
    if len(line) > limit + _LINE_END_BYTES or len(line.rstrip(b"\r")) > limit:
        raise TooLarge(f"a line may have at most {limit} bytes", f"line {number + 1}")
