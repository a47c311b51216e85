"""Seals the key of a session into the value of a cookie. Knows nothing of requests."""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken

#: How long a session lasts.
SECONDS = 12 * 3_600
_PURPOSE = b"lengthwise: sessions of the page"
#: A key has 512 characters at most, and some 800 when it is sealed.
_MAX_CHARACTERS = 2_000


class Sessions:
    """Seals keys under the pepper, which every process of the API has. Another pepper makes all keys void anyway."""

    def __init__(self, pepper: str) -> None:
        secret = hmac.digest(pepper.encode(), _PURPOSE, hashlib.sha256)
        self._fernet = Fernet(base64.urlsafe_b64encode(secret))

    def seal(self, token: str) -> str:
        """The value of a cookie for this key."""
        return self._fernet.encrypt(token.encode()).decode().rstrip("=")

    def open(self, value: str) -> str | None:
        """The key in a cookie; None if it is not ours, was changed, or is older than twelve hours."""
        if len(value) > _MAX_CHARACTERS or not value.isascii():
            return None
        try:
            return self._fernet.decrypt(value + "=" * (-len(value) % 4), ttl=SECONDS).decode()
        except InvalidToken:
            return None
