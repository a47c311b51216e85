"""The secrets that ``lengthwise up`` makes at its first start. They are files in its data folder, for its user only."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lengthwise import sealing
from lengthwise.errors import ConfigurationError
from lengthwise.key import new_key
from lengthwise.local.ownership import own
from lengthwise.settings import MasterKeys, Secret, Settings

#: The installation's own key, with which the first other key is made. If it is removed, the next start makes another.
ADMIN_KEY_FILE = "admin.key"
PEPPER_FILE = "key.pepper"
#: The key that opens the secrets in the database. If it is lost, they cannot be read any more.
MASTER_KEY_FILE = "master.key"

#: What becomes void with a new one.
_LOST = {PEPPER_FILE: ", with which all keys are void", MASTER_KEY_FILE: ", with which no webhook can be signed"}
_SECRET: TypeAdapter[Any] = TypeAdapter(Secret)
_MASTER_KEYS: TypeAdapter[Any] = TypeAdapter(MasterKeys)

Say = Callable[[str], None]


def load_or_create(settings: Settings, data: Path, say: Say) -> dict[str, str]:
    """The environment variables of the secrets that the settings lack. They are read from ``data``, or made there.

    Tells ``say`` a new admin key. Raises ``ConfigurationError`` if the folder cannot be read or written, or if others
    could have written a secret.
    """
    named = {}
    if settings.key_pepper is None:
        named["LENGTHWISE_KEY_PEPPER"], _ = _load_or_make(data / PEPPER_FILE, lambda: secrets.token_hex(32), _SECRET)
    if not settings.master_key:
        path = data / MASTER_KEY_FILE
        named["LENGTHWISE_MASTER_KEY"], _ = _load_or_make(path, sealing.new_master_key, _MASTER_KEYS)
    if settings.admin_key is None:
        path = data / ADMIN_KEY_FILE
        named["LENGTHWISE_ADMIN_KEY"], is_new = _load_or_make(path, lambda: new_key().text, _SECRET)
        if is_new:
            say(f"the admin key, shown this once and kept in {path}: {named['LENGTHWISE_ADMIN_KEY']}")
    return named


def delivery_variables(named: Mapping[str, str]) -> dict[str, str]:
    """The variables that a delivery worker needs. The others are for the API only."""
    return {name: value for name, value in named.items() if name == "LENGTHWISE_MASTER_KEY"}


def _load_or_make(path: Path, make: Callable[[], str], form: TypeAdapter[Any]) -> tuple[str, bool]:
    """The secret in the file, and whether it was made now."""
    try:
        if path.exists() or path.is_symlink():
            return _of_this_form(own(path).read_text("ascii").strip(), form), False
        own(path.parent)
        made, beside = make(), path.with_name(f"{path.name}.new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{made}\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)  # atomic, because with half a pepper no key would be valid
    except OSError as error:
        raise ConfigurationError(f"cannot keep {path.name} in {path.parent}: {error.strerror}") from None
    except ValueError:
        lost = _LOST.get(path.name, "")
        remedy = f"restore it from a backup; or remove it, and the next start makes a new one{lost}"
        raise ConfigurationError(f"{path} holds no key: {remedy}") from None
    return made, True


def _of_this_form(text: str, form: TypeAdapter[Any]) -> str:
    """Raises ``ValueError`` if it is not. An empty variable would count as unset, and nobody would notice."""
    if not form.validate_python(text):
        raise ValueError
    return text
