"""Signs webhooks by Standard Webhooks 1.0.0: with shared secrets (``v1``) and with ed25519 keys (``v1a``).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
Pure: knows neither the clock nor where secrets are stored.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from lengthwise.webhooks.secret import check_secret, decode_secret, decode_signing_key, new_secret

__all__ = ["check_secret", "new_secret", "sign"]


def sign(
    secrets: Sequence[str], message_id: str, timestamp: int, body: bytes, signing_keys: Sequence[str] = ()
) -> dict[str, str]:
    """The three headers by which a receiver verifies ``body``, with one signature for each secret and ed25519 key.

    ``message_id`` is the same in all attempts. ``timestamp`` is this attempt's, in whole Unix seconds. Raises
    ``ValueError`` if there is no secret, or the id is empty or has a full stop, and ``InvalidInput`` for a bad secret.
    """
    if not secrets:
        raise ValueError("a webhook is signed with at least one secret")
    # The signed text joins its parts with full stops, so an id with a full stop would be ambiguous.
    if not message_id or "." in message_id:
        raise ValueError("a webhook's id is not empty and has no full stop")
    content = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            [_signature("v1", hmac.digest(decode_secret(secret), content, hashlib.sha256)) for secret in secrets]
            + [_signature("v1a", decode_signing_key(key).sign(content)) for key in signing_keys]
        ),
    }


def _signature(version: str, signed: bytes) -> str:
    return f"{version},{base64.b64encode(signed).decode('ascii')}"
