"""A webhook's signing secrets in the forms of Standard Webhooks.

A shared key is ``whsec_`` and its base64. An ed25519 key is ``whsk_`` (private) or ``whpk_`` (public) and its base64.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
Knows neither how a secret is stored nor what it signs. No error here holds any part of a secret.
"""

import base64
import binascii
import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lengthwise.errors import InvalidInput

PREFIX = "whsec_"
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64
NEW_KEY_BYTES = 32
SIGNING_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"


def new_secret() -> str:
    """A new shared secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW_KEY_BYTES)).decode("ascii")


def new_signing_key() -> str:
    """A new ed25519 key: ``whsk_`` and the base64 of its 32 bytes."""
    return SIGNING_PREFIX + base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode("ascii")


def decode_signing_key(signing_key: str) -> Ed25519PrivateKey:
    """The key in a text from ``new_signing_key``."""
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(signing_key.removeprefix(SIGNING_PREFIX)))


def derive_public_key(signing_key: str) -> str:
    """The public key that verifies its signatures: ``whpk_`` and the base64 of 32 bytes."""
    public = decode_signing_key(signing_key).public_key().public_bytes_raw()
    return PUBLIC_PREFIX + base64.b64encode(public).decode("ascii")


def check_secret(secret: str) -> None:
    """Raises ``InvalidInput`` unless ``secret`` is ``whsec_`` and the padded base64 of 24 to 64 bytes."""
    decode_secret(secret)


def decode_secret(secret: str) -> bytes:
    """The key in ``secret``, 24 to 64 bytes. Raises ``InvalidInput`` as ``check_secret`` does."""
    encoded = secret.removeprefix(PREFIX)
    if encoded == secret:
        raise _invalid("must begin with whsec_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("must be whsec_ and base64") from None
    # Python's decoder ignores stray last bits, which decoders of other languages refuse.
    if base64.b64encode(key).decode("ascii") != encoded:
        raise _invalid("must be whsec_ and base64 in its canonical form")
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise _invalid(f"must hold {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
    return key


def _invalid(what: str) -> InvalidInput:
    return InvalidInput(f"webhook.secret {what}", field="webhook.secret")
