"""A webhook's signing secret, in the form Standard Webhooks gives it: ``whsec_`` and the base64 of its key.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
Knows neither how one is stored nor what it signs. No error here carries any part of a secret.
"""

import base64
import binascii
import secrets

from lengthwise.errors import InvalidInput

PREFIX = "whsec_"
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64
NEW_KEY_BYTES = 32


def new_secret() -> str:
    """A fresh secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW_KEY_BYTES)).decode("ascii")


def check_secret(secret: str) -> None:
    """Raises ``InvalidInput`` unless ``secret`` is ``whsec_`` and the padded base64 of 24 to 64 bytes."""
    key_of(secret)


def key_of(secret: str) -> bytes:
    """The key inside ``secret``. Raises ``InvalidInput`` as ``check_secret`` does."""
    encoded = secret.removeprefix(PREFIX)
    if encoded == secret:
        raise _invalid("must begin with whsec_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("must be whsec_ and base64") from None
    # Python's decoder lets stray last bits pass where other languages' verifiers refuse them.
    if base64.b64encode(key).decode("ascii") != encoded:
        raise _invalid("must be whsec_ and base64 in its canonical form")
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise _invalid(f"must hold {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
    return key


def _invalid(what: str) -> InvalidInput:
    return InvalidInput(f"webhook.secret {what}", field="webhook.secret")
