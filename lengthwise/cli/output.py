"""Writes results to a file in the format of its suffix, from the lines of JSON that were downloaded."""

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import IO

from pydantic_core import from_json

from lengthwise.cli import extras
from lengthwise.client import ConfigurationError, Result
from lengthwise.formats import csv_lines
from lengthwise.formats import file as files
from lengthwise.formats.file import FileFormat
from lengthwise.formats.layout import Layout

#: What separates the columns of a text format.
DELIMITERS: dict[FileFormat, str] = {"csv": ",", "tsv": "\t"}


def check(out: Path) -> FileFormat:
    """The format of this file. Raises ``ConfigurationError`` if it cannot be written here."""
    file_format = files.format_of(out)
    if file_format == "parquet":
        extras.require("parquet")
    if not out.parent.is_dir():
        raise ConfigurationError(f"{out.parent} is not a folder")
    return file_format


def write(source: IO[bytes], out: Path) -> None:
    """Writes the lines of ``source`` from its current position, in the format of ``out``."""
    write_parts(_blocks(source, source.tell(), check(out)), out)


def write_parts(parts: Iterable[bytes], out: Path) -> None:
    """Writes these bytes. ``out`` is replaced only when all of it is written. Raises ``ConfigurationError``."""
    unfinished = out.with_name(f"{out.name}.writing")
    try:
        with files.open_to_write(unfinished, named=out) as sink:
            for part in parts:
                sink.write(part)
        unfinished.replace(out)
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {os.strerror(error.errno or 0)}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _blocks(source: IO[bytes], start: int, file_format: FileFormat) -> Iterable[bytes]:
    if file_format == "ndjson":
        return source
    if file_format == "txt":
        return _texts(source)
    layout = Layout()
    for line in source:
        layout.see(from_json(line))
    source.seek(start)
    if file_format in DELIMITERS:
        return csv_lines.written(source, layout, DELIMITERS[file_format])
    blocks: Iterable[bytes] = import_module("lengthwise.formats.parquet_file").written(source, layout)
    return blocks


def _texts(source: IO[bytes]) -> Iterator[bytes]:
    """One line for each item, empty if it failed. Newlines in a text become spaces, so that line N is item N."""
    for line in source:
        text = Result.model_validate_json(line).text or ""
        yield " ".join(text.splitlines()).encode() + b"\n"
