"""Files of items: what form they have by their names, opened whether compressed or not."""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, cast

import zstandard

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.inflate import Inflater

FileFormat = Literal["ndjson", "csv", "parquet", "txt"]

FORMATS: dict[str, FileFormat] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
    ".txt": "txt",
}
CONTENT_TYPES: dict[FileFormat, str] = {
    "ndjson": "application/x-ndjson",
    "txt": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}

#: Suffixes of compressed files.
ENCODINGS = {".gz": "gzip", ".zst": "zstd"}

_BLOCK = 2**18
#: A file of one's own may be packed with the largest window that zstd --long=31 has.
_WINDOW_BYTES = 2**31


def format_of(path: Path) -> FileFormat:
    """By the suffix in front of .gz or .zst. Raises ``ConfigurationError``."""
    name = path.with_suffix("") if path.suffix in ENCODINGS else path
    try:
        return FORMATS[name.suffix.lower()]
    except KeyError:
        known = ", ".join(FORMATS)
        raise ConfigurationError(
            f"{path.name}: its suffix must be one of {known}, or one of them and .gz or .zst"
        ) from None


def reading(path: Path) -> IO[bytes]:
    """The file as it is. Raises ``ConfigurationError`` where it is not there."""
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def writing(path: Path, named: Path) -> IO[bytes]:
    """To ``path``, compressed as the name ``named`` says. Raises ``ConfigurationError`` where that cannot be."""
    try:
        if named.suffix == ".gz":
            return cast(IO[bytes], gzip.open(path, "wb"))
        if named.suffix == ".zst":
            return cast(IO[bytes], zstandard.open(path, "wb"))
        return path.open("wb")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def blocks(file: IO[bytes], encoding: str | None) -> Iterator[bytes]:
    """All of the file, unpacked. Raises ``ConfigurationError`` where that cannot be."""
    inflater = Inflater(encoding, window_bytes=_WINDOW_BYTES) if encoding else None
    try:
        while block := file.read(_BLOCK):
            if inflater:
                yield from inflater.feed(block)
            else:
                yield block
        if inflater:
            inflater.finish()
    except InvalidInput as error:
        raise ConfigurationError(f"the file is {error}") from None
    except OSError as error:
        raise ConfigurationError(f"the file cannot be read: {error.strerror}") from None


def texts(parts: Iterable[bytes]) -> Iterator[str]:
    """The lines of a text file that are not blank, without their ends. Raises ``ConfigurationError``."""
    for number, line in enumerate(_lines(parts), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
        except UnicodeDecodeError:
            raise ConfigurationError(f"line {number} of the texts is not UTF-8") from None
        if text and not text.isspace():
            yield text


def _lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
    yield rest
