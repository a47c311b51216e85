"""Reads a file whose name or content a stranger may have chosen: only a plain one, of a size with a limit."""

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lengthwise.errors import ConfigurationError


def read(folder: Path, name: str, most_bytes: int) -> bytes:
    """The file's bytes. Raises ``ConfigurationError`` if it is missing, larger than that or no plain file."""
    found = head(folder, name, most_bytes + 1)
    if len(found) > most_bytes:
        raise ConfigurationError(f"{name} has more than {most_bytes >> 20} MiB")
    return found


def head(folder: Path, name: str, n_bytes: int) -> bytes:
    """The file's first bytes, or all of them. Raises ``ConfigurationError`` if it is missing or no plain file."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for ever.
        with os.fdopen(os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigurationError(f"{name} is no file")
            return file.read(n_bytes)
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read ({type(error).__name__})") from None


def parsed(content: bytes, name: str) -> Any:
    """The JSON value of a file's content. Raises ``ConfigurationError`` if it is none, or repeats a key."""
    try:
        found = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
        # A lone surrogate, which JSON can hold, could be written into no answer.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name} cannot be read ({type(error).__name__})") from None
    return found


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. Raises ``ValueError`` for a repeated key, of which readers take different ones."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is repeated")
    return found
