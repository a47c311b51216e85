"""Compressed bytes, unpacked as they come: in portions so small that none of them becomes much at once."""

import zlib
from collections.abc import Iterator
from typing import Protocol

import zstandard

from lengthwise.errors import InvalidInput

#: What RFC 9659 lets a sender of zstd use, and so the most that unpacking holds.
WINDOW_BYTES = 8 * 2**20

ENCODINGS = ("gzip", "zstd")


class _Decompressor(Protocol):
    """Of one gzip member or one zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class Inflater:
    """Unpacks one body. Several members or frames, one behind the other, are one body, as with gzip itself."""

    def __init__(self, encoding: str, window_bytes: int = WINDOW_BYTES) -> None:
        self._encoding = encoding
        self._window_bytes = window_bytes
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
        return zstandard.ZstdDecompressor(max_window_size=self._window_bytes).decompressobj()
