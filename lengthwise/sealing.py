"""Seals secrets for storage: AES-256-GCM under a master key, bound to the row and column that hold the secret.

A sealed secret is ``sealed:ID:BASE64`` of a random 96-bit nonce, the ciphertext and its tag. ``ID`` names the master
key. The first key of the setting seals, and every key of it opens, so that keys can be rotated while the system runs.
A secret from before there were master keys begins with ``whsec_``. It is read as it is until the sweep seals it.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lengthwise import settings
from lengthwise.errors import ConfigurationError

PREFIX = "sealed"
KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_DIGITS = 8


def new_master_key() -> str:
    """A new master key: the base64 of 32 random bytes."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode("ascii")


class MasterKeys:
    """The master keys. The first one seals, and every one opens."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_id_of(key): AESGCM(key) for key in keys}

    @property
    def ids(self) -> list[str]:
        """The ids of the keys, in order. An id is the beginning of the key's SHA-256 sum."""
        return list(self._keys)

    def seal(self, secret: str, place: str) -> str:
        """Seals ``secret`` for the row and column ``place``. Raises ``ConfigurationError`` without a master key."""
        if not self._keys:
            raise ConfigurationError("LENGTHWISE_MASTER_KEY is not set: without it no webhook's secret can be stored")
        key_id = next(iter(self._keys))
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._keys[key_id].encrypt(nonce, secret.encode(), place.encode())
        return f"{PREFIX}:{key_id}:{base64.b64encode(sealed).decode('ascii')}"

    def open(self, stored: str, place: str) -> str:
        """The secret. Raises ``ConfigurationError`` if its key is missing, or it was sealed for another place."""
        if not stored.startswith(f"{PREFIX}:"):
            return stored
        _, key_id, encoded = stored.split(":")
        if key_id not in self._keys:
            raise ConfigurationError(f"LENGTHWISE_MASTER_KEY has no key {key_id}, under which a secret was sealed")
        sealed = base64.b64decode(encoded)
        try:
            opened = self._keys[key_id].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
        except InvalidTag:
            raise ConfigurationError("a sealed secret was changed, or moved to a row that is not its own") from None
        return opened.decode()


def _id_of(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:_ID_DIGITS]


def master_keys() -> MasterKeys:
    """The master keys of the settings."""
    return _ring(tuple(base64.b64decode(key.get_secret_value()) for key in settings.get().master_key))


@cache
def _ring(keys: tuple[bytes, ...]) -> MasterKeys:
    return MasterKeys(keys)


def seal(secret: str, place: str) -> str:
    """Seals under the first master key of the settings. Raises ``ConfigurationError`` if there is none."""
    return master_keys().seal(secret, place)


def unseal(stored: str, place: str) -> str:
    """Opens with the master keys of the settings. Raises ``ConfigurationError`` if the right one is missing."""
    return master_keys().open(stored, place)
