"""Compresses answers while they are made. Each part can be unpacked as soon as it arrives."""

import zlib
from collections.abc import Iterable, Iterator

import zstandard

#: At these levels compression is faster than reading the page from the database.
_GZIP_LEVEL = 3
_ZSTD_LEVEL = 3


def compressed(parts: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The parts, compressed by ``gzip`` or ``zstd``."""
    return _gzip(parts) if encoding == "gzip" else _zstd(parts)


def _gzip(parts: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(_GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)
    for part in parts:
        yield packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def _zstd(parts: Iterable[bytes]) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(_ZSTD_LEVEL).compressobj()
    for part in parts:
        yield packer.compress(part) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    yield packer.flush()
