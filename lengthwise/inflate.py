"""Decompresses a body while it is read, in portions that are small enough to limit what each of them expands to.

The body stays compressed on disk: a megabyte of gzip may stand for a gibibyte, which would have to be written first.
"""

import io
import zlib
from collections.abc import Iterator
from typing import IO, Any, Protocol

import zstandard

from lengthwise.errors import InvalidInput, TooLarge

#: The largest window that RFC 9659 allows a sender of zstd, and so the most memory that decompression holds.
WINDOW_BYTES = 8 * 2**20

ENCODINGS = ("gzip", "zstd")

#: Members or frames of one body. An empty frame of zstd has 9 bytes and costs 20 microseconds. A gibibyte that was
#: compressed in blocks of 64 KiB, as some programs do, has 16,384.
MOST_PARTS = 100_000
_CHUNK_BYTES = 2**16


class _Decompressor(Protocol):
    """The state of one gzip member or one zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class Inflater:
    """Decompresses one body. Several members or frames in a row form one body, as with the program gzip."""

    def __init__(self, encoding: str, window_bytes: int = WINDOW_BYTES) -> None:
        self._encoding = encoding
        self._window_bytes = window_bytes
        self._n_parts = 0
        # One byte of gzip expands to at most 1,032 bytes, and four of zstd to 128 KiB: each portion to some 16 MiB.
        self._portion = 2**14 if encoding == "gzip" else 2**9
        self._current = self._new()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decompresses one chunk, in pieces of at most some 16 MiB. Raises ``InvalidInput`` and ``TooLarge``."""
        for start in range(0, len(chunk), self._portion):
            rest = chunk[start : start + self._portion]
            while rest:
                piece, rest = self._unpack(rest)
                if piece:
                    yield piece

    def _unpack(self, data: bytes) -> tuple[bytes, bytes]:
        """The decompressed bytes, and the input that comes after the end of a member or frame."""
        if self._current.eof:
            self._current = self._new()
        try:
            piece = self._current.decompress(data)
        except (zlib.error, zstandard.ZstdError):
            raise InvalidInput(f"not valid {self._encoding}", "body") from None
        return piece, self._current.unused_data

    def finish(self) -> None:
        """Ends the body. Raises ``InvalidInput`` if it is incomplete."""
        if not self._current.eof:
            raise InvalidInput(f"not valid {self._encoding}: it ends too early", "body")

    def _new(self) -> _Decompressor:
        self._n_parts += 1
        if self._n_parts > MOST_PARTS:
            raise TooLarge(f"a body may have at most {MOST_PARTS} members of gzip or frames of zstd", "body")
        if self._encoding == "gzip":
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        return zstandard.ZstdDecompressor(max_window_size=self._window_bytes).decompressobj()


class UnpackedFile(io.RawIOBase):
    """What a compressed file unpacks to. It is read from its beginning, and can only be rewound.

    Reading raises ``TooLarge`` once more than ``limit`` bytes were unpacked, and ``InvalidInput``.
    """

    def __init__(self, packed: IO[bytes], encoding: str, limit: int) -> None:
        self.packed, self._encoding, self._limit = packed, encoding, limit
        self._rewind()

    def _rewind(self) -> None:
        self.packed.seek(0)
        self._pieces = self._unpacked()
        self._piece = memoryview(b"")
        self._n_read = 0

    def _unpacked(self) -> Iterator[bytes]:
        inflater, size = Inflater(self._encoding), 0
        while chunk := self.packed.read(_CHUNK_BYTES):
            for piece in inflater.feed(chunk):
                size += len(piece)
                if size > self._limit:
                    raise TooLarge(f"a body may have at most {self._limit} bytes", "body")
                yield piece
        inflater.finish()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        n = min(len(buffer), len(self._piece))
        buffer[:n] = self._piece[:n]
        self._piece = self._piece[n:]
        self._n_read += n
        return n

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if (offset, whence) == (0, io.SEEK_SET):
            self._rewind()
        elif (offset, whence) != (0, io.SEEK_CUR):
            raise io.UnsupportedOperation("a compressed body can only be rewound")
        return self._n_read
