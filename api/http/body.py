"""Request bodies. They are spooled to disk before they are read, so that a slow caller holds no database connection."""

import errno
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from os import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from fastapi import Request
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from lengthwise import encoding
from lengthwise.errors import InvalidInput, TooLarge, Unavailable
from lengthwise.inflate import ENCODINGS, Inflater

_IN_MEMORY = 2**20
#: Bytes that are read at a time and cut into lines.
_BLOCK = 2**16
#: A blank line is skipped, but costs time. A sheet of Excel has 1,048,576 rows, most of which may be blank.
MOST_BLANK_LINES = 2_000_000
#: Carriage returns at a line's end that do not count towards its length. Some programs write two.
_LINE_END_BYTES = 2


@asynccontextmanager
async def spooled(request: Request, limit: int) -> AsyncIterator[IO[bytes]]:
    """The whole body, unpacked, as a file at its beginning.

    Raises ``TooLarge`` as soon as more than ``limit`` bytes were sent or unpacked, ``InvalidInput`` if the body cannot
    be unpacked, and ``Unavailable`` if the disk is full. An unknown encoding is a 415.
    """
    encoded = _encoding(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > limit:
        raise TooLarge(f"a body may have at most {limit} bytes", "body")
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        with room():
            await (_unpack(request, file, limit, Inflater(encoded)) if encoded else _spool(request, file, limit))
        file.seek(0)
        yield file


def size(file: IO[bytes]) -> int:
    """The bytes of a spooled body, which stays where it is read."""
    at = file.tell()
    n_bytes = file.seek(0, SEEK_END)
    file.seek(at)
    return n_bytes


@contextmanager
def room() -> Iterator[None]:
    """Raises ``Unavailable`` if the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable("there is no room for this body", retry_after=60, full=True) from None


def _encoding(request: Request) -> str | None:
    """How the body is compressed, if it is. An unknown encoding, or more than one, is a 415."""
    named = [part.strip().lower() for part in ",".join(request.headers.getlist("content-encoding")).split(",")]
    if named in ([""], ["identity"]):
        return None
    found = named[0].removeprefix("x-") if len(named) == 1 else ""
    if found not in ENCODINGS:
        accepted = ", ".join(ENCODINGS)
        detail = f"a body is sent as it is, or in one of these encodings: {accepted}"
        raise HTTPException(415, detail, headers={"Accept-Encoding": accepted})
    return found


async def _spool(request: Request, file: IO[bytes], limit: int) -> None:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        _check(size, limit)
        if size > _IN_MEMORY:
            await run_in_threadpool(file.write, chunk)
        else:
            file.write(chunk)


async def _unpack(request: Request, file: IO[bytes], limit: int, inflater: Inflater) -> None:
    sent = 0
    async for chunk in request.stream():
        sent += len(chunk)
        _check(sent, limit)
        await run_in_threadpool(_write, inflater, chunk, file, limit)
    inflater.finish()


def _write(inflater: Inflater, chunk: bytes, file: IO[bytes], limit: int) -> None:
    for piece in inflater.feed(chunk):
        _check(file.tell() + len(piece), limit)
        file.write(piece)


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(f"a body may have at most {limit} bytes", "body")


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
    while block := file.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        for line in _filled(whole, number, limit):
            n_filled += 1
            yield line
        number += len(whole)
        check_blank_lines(number - n_filled)
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
