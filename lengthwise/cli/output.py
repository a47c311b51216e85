"""Writes results to a file in the format of its suffix, from the lines of JSON that were downloaded."""

import os
import shutil
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


def check(out: Path, *, force: bool) -> FileFormat:
    """The file's format. Raises ``ConfigurationError`` if it cannot be written, or exists and must not be replaced."""
    file_format = files.format_of(out)
    if file_format == "parquet":
        extras.require("parquet")
    for folder in (out.parent, _real(out).parent):
        if not folder.is_dir():
            raise ConfigurationError(f"{folder} is not a folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigurationError(f"{out} cannot be written: nothing may be written in {folder}")
    if out.exists():
        if not out.is_file():
            raise ConfigurationError(f"{out} exists and is not a file; name another one")
        if not force:
            raise ConfigurationError(f"{out} exists; name another file, or replace it with --force")
    return file_format


def write(source: IO[bytes], out: Path, *, force: bool) -> None:
    """Writes the lines of ``source`` from its current position, in the format of ``out``."""
    write_parts(_blocks(source, source.tell(), files.format_of(out)), out, force=force)


def write_parts(parts: Iterable[bytes], out: Path, *, force: bool) -> None:
    """Writes these bytes. ``out`` is replaced only when all of it is written. Raises ``ConfigurationError``.

    If ``out`` is a symbolic link, the file to which it leads is written.
    """
    real = _real(out)
    unfinished = real.with_name(f".{real.name}.{os.getpid()}.writing")
    try:
        with files.open_to_write(unfinished, named=out) as sink:
            for part in parts:
                sink.write(part)
        check(out, force=force)  # it may exist by now
        if real.exists():
            shutil.copymode(real, unfinished)
        unfinished.replace(real)
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {os.strerror(error.errno or 0)}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _real(out: Path) -> Path:
    """The file to which ``out`` leads."""
    try:
        return out.resolve()
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        raise ConfigurationError(f"{out} is a link that leads nowhere; name another file") from None


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
    """One line for each item, empty if it failed or is still to come, so that line N is item N.

    Newlines in a text become spaces. Items after the last one that has a result have no line.
    """
    end = 0
    for line in source:
        result = Result.model_validate_json(line)
        yield b"\n" * (result.index - end)
        yield " ".join((result.text or "").splitlines()).encode() + b"\n"
        end = result.index + 1
