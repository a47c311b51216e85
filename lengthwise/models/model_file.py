"""Reads the small files of a model's folder. They may come from anyone, so their size and their form are checked.

Errors name the file as it is called in the folder, and never the folder: callers see some of them.
"""

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lengthwise.errors import ConfigurationError

_Form = TypeVar("_Form", dict, list)  # type: ignore[type-arg]
_Shape = TypeVar("_Shape", bound=BaseModel)

_NAMES = {dict: "object", list: "array"}
#: A file may have so many bytes. The largest ``config.json`` that is published, with 20,000 labels, has 1 MiB.
_MOST_BYTES = 8 << 20
#: Those that list words or tensors are larger: a tokenizer of 260,000 words has 34 MB.
_MOST_BYTES_OF = {"tokenizer.json": 256 << 20, "model.safetensors.index.json": 64 << 20}
_MOST_BYTES_OF |= dict.fromkeys(
    ("shared_vocabulary.json", "source_vocabulary.json", "target_vocabulary.json"), 64 << 20
)


def exists(folder: Path, name: str) -> bool:
    """Whether the folder has such a file."""
    return (folder / name).is_file()


def read(folder: Path, name: str) -> bytes:
    """The file's bytes. Raises ``ConfigurationError`` if it is missing, too large or no plain file."""
    most = _MOST_BYTES_OF.get(name, _MOST_BYTES)
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for ever.
        with os.fdopen(os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigurationError(f"{name} is no file")
            found = file.read(most + 1)
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read ({type(error).__name__})") from None
    if len(found) > most:
        raise ConfigurationError(f"{name} has more than {most >> 20} MiB")
    return found


def read_text(folder: Path, name: str) -> str:
    """The file's text. Raises ``ConfigurationError`` as ``read`` does, and if it is not UTF-8."""
    try:
        return read(folder, name).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not UTF-8") from None


def read_json(folder: Path, name: str, form: type[_Form]) -> _Form:
    """The file's object (``dict``) or array (``list``). Raises ``ConfigurationError`` if it holds none."""
    try:
        found = json.loads(read_text(folder, name), object_pairs_hook=_without_repeats)
        # A lone surrogate, which JSON can hold, could be written into no answer.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name} cannot be read ({type(error).__name__})") from None
    if not isinstance(found, form):
        raise ConfigurationError(f"{name} is not a JSON {_NAMES[form]}")
    return found


def checked(values: dict[str, Any], shape: type[_Shape], name: str) -> _Shape:
    """The values of the file ``name`` that ``shape`` has.

    Raises ``ConfigurationError``, which names the first that is of a wrong type.
    """
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(f"{name}: {error.errors()[0]['loc'][0]} has a value of a wrong type") from None


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. Raises ``ValueError`` for a repeated key, of which readers take different ones."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is repeated")
    return found
