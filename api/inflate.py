"""Bodies that came compressed, unpacked as they arrive: in portions so small that none of them becomes much at once."""

import zlib
from collections.abc import Iterator
from typing import Protocol

import zstandard
from fastapi import Request
from starlette.exceptions import HTTPException

from lengthwise.errors import InvalidInput

#: What RFC 9659 lets a sender of zstd use, and so the most that unpacking one body holds.
_WINDOW_BYTES = 8 * 2**20

ENCODINGS = ("gzip", "zstd")


class _Decompressor(Protocol):
    """Of one gzip member or one zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def encoding(request: Request) -> str | None:
    """How the body is compressed, if it is. One that we do not read, or several, are a 415."""
    named = [part.strip().lower() for part in ",".join(request.headers.getlist("content-encoding")).split(",")]
    if named in ([""], ["identity"]):
        return None
    found = named[0].removeprefix("x-") if len(named) == 1 else ""
    if found not in ENCODINGS:
        accepted = ", ".join(ENCODINGS)
        detail = f"a body is sent as it is, or in one of these encodings: {accepted}"
        raise HTTPException(415, detail, headers={"Accept-Encoding": accepted})
    return found


class Inflater:
    """Unpacks one body. Several members or frames, one behind the other, are one body, as with gzip itself."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        # A byte of gzip becomes up to 1,032 bytes, and four of zstd up to 128 KiB: 16 MiB at a time either way.
        self._portion = 2**14 if encoding == "gzip" else 2**9
        self._current = self._new()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What comes out, in pieces of at most some 16 MiB. Raises ``InvalidInput``."""
        for start in range(0, len(chunk), self._portion):
            rest = chunk[start : start + self._portion]
            while rest:
                piece, rest = self._unpack(rest)
                if piece:
                    yield piece

    def _unpack(self, data: bytes) -> tuple[bytes, bytes]:
        """What comes out, and what lies behind the end of a member or frame."""
        if self._current.eof:
            self._current = self._new()
        try:
            piece = self._current.decompress(data)
        except (zlib.error, zstandard.ZstdError):
            raise InvalidInput(f"not valid {self._encoding}", "body") from None
        return piece, self._current.unused_data

    def finish(self) -> None:
        """Raises ``InvalidInput`` where the body broke off."""
        if not self._current.eof:
            raise InvalidInput(f"not valid {self._encoding}: it ends too early", "body")

    def _new(self) -> _Decompressor:
        if self._encoding == "gzip":
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        return zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
