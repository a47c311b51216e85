"""JSON files that belong to a model. They may come from anyone, so their form is checked."""

import json
from pathlib import Path
from typing import TypeVar

from lengthwise.errors import ConfigurationError

_Form = TypeVar("_Form", dict, list)  # type: ignore[type-arg]

_NAMES = {dict: "object", list: "array"}


def read_json(path: Path, form: type[_Form]) -> _Form:
    """The file's object (``dict``) or array (``list``). Raises ``ConfigurationError`` if it holds none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__})") from None
    if not isinstance(found, form):
        raise ConfigurationError(f"{path} is not a JSON {_NAMES[form]}")
    return found
