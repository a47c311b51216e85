"""Files of items on this machine: the format that a suffix names, and reading and writing them compressed or not."""

import gzip
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Literal, cast

import zstandard

from lengthwise import encoding
from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.formats import dialect
from lengthwise.inflate import Inflater

FileFormat = Literal["ndjson", "csv", "tsv", "parquet", "txt"]

FORMATS: dict[str, FileFormat] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "txt",
}
CONTENT_TYPES: dict[FileFormat, str] = {
    "ndjson": "application/x-ndjson",
    "txt": "application/x-ndjson",
    "csv": "text/csv",
    "tsv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}

#: Suffixes of compressed files.
ENCODINGS = {".gz": "gzip", ".zst": "zstd"}

_BLOCK_BYTES = 2**18
#: The largest window of ``zstd --long=31``: a local file is trusted with that much memory, a request would not be.
_WINDOW_BYTES = 2**31


def format_of(path: Path) -> FileFormat:
    """The format that the suffix names, the one before .gz or .zst. Raises ``ConfigurationError``."""
    name = path.with_suffix("") if path.suffix in ENCODINGS else path
    try:
        return FORMATS[name.suffix.lower()]
    except KeyError:
        known = ", ".join(FORMATS)
        raise ConfigurationError(f"{path}: its suffix must be one of {known}, or one of them and .gz or .zst") from None


def open_to_read(path: Path) -> IO[bytes]:
    """Opens the file as it is. Raises ``ConfigurationError`` if it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def open_to_write(path: Path, named: Path) -> IO[bytes]:
    """Opens ``path``, and compresses as the suffix of ``named`` says. Raises ``ConfigurationError``."""
    try:
        if named.suffix == ".gz":
            return cast(IO[bytes], gzip.open(path, "wb"))
        if named.suffix == ".zst":
            return cast(IO[bytes], zstandard.open(path, "wb"))
        return path.open("wb")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def decompressed(file: IO[bytes], encoding: str | None) -> Iterator[bytes]:
    """The whole file, decompressed. Raises ``ConfigurationError`` if it is damaged or cannot be read."""
    inflater = Inflater(encoding, window_bytes=_WINDOW_BYTES) if encoding else None
    try:
        while block := file.read(_BLOCK_BYTES):
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


def text_lines(parts: Iterable[bytes], named: str = "utf-8") -> Iterator[str]:
    """The lines of a text file, blank ones too, without their newlines. Raises ``ConfigurationError``."""
    remaining, number = iter(parts), 0
    start = next(remaining, b"")
    if named == "utf-8" and (found := encoding.signature(start)):
        raise ConfigurationError(_named(found))
    try:
        for line in dialect.lines(chain([start], remaining), named):
            number += 1
            yield line.rstrip("\r\n")
    except UnicodeError:
        found = encoding.name_of(start) if named == "utf-8" else None
        more = _named(found) if found else "name its encoding, or convert it"
        raise ConfigurationError(f"line {number + 1} of the file is not {named.upper()}; {more}") from None


def _named(found: str) -> str:
    """What to do about a file that is this instead of text in UTF-8."""
    suffix = next((suffix for suffix, packed in ENCODINGS.items() if packed == found), None)
    return f"the file is {found}: " + (
        f"its name must end in {suffix}" if suffix else "send UTF-8, or name its encoding"
    )
