"""A text of one item a line, as the NDJSON that the API reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO

from pydantic_core import to_json

from api.http.spool import room
from lengthwise import encoding
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.formats import dialect
from lengthwise.settings import Settings

_BLOCK = 2**16
_IN_MEMORY = 2**20


@contextmanager
def as_ndjson(file: IO[bytes], named: str, current: Settings, *, is_part: bool = False) -> Iterator[IO[bytes]]:
    """A file with a line of JSON for each line of the text, blank ones too.

    With ``is_part`` the text may end in the middle of a character. Raises ``InvalidInput`` for bytes that are no
    characters, and ``TooLarge`` beyond the limits of a line and a body.
    """
    with SpooledTemporaryFile(max_size=_IN_MEMORY) as converted:
        size = 0
        try:
            with room():
                for line in _lines(file, named, current.max_line_bytes):
                    size += len(line)
                    if size > current.max_body_bytes:
                        raise TooLarge(f"a body may have at most {current.max_body_bytes} bytes", "file")
                    converted.write(line)
        except InvalidInput:
            if not (is_part and size):
                raise
        converted.seek(0)
        yield converted


def _lines(file: IO[bytes], named: str, limit: int) -> Iterator[bytes]:
    start, number = file.read(_BLOCK), 0
    if named == "utf-8" and (found := encoding.signature(start)):
        raise InvalidInput(f"this is {found}: choose a text, or name its encoding", "file")
    parts = chain([start], iter(partial(file.read, _BLOCK), b""))
    try:
        for line in dialect.lines(parts, named, limit):
            number += 1
            written = to_json(line.rstrip("\r\n")) + b"\n"
            if len(written) > limit:
                raise TooLarge(f"may have at most {limit} bytes", f"line {number}")
            yield written
    except UnicodeError:
        raise InvalidInput(
            f"is not {named.upper()}: name the text's encoding, or send UTF-8", f"line {number + 1}"
        ) from None
