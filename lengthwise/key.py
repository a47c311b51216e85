"""API keys, ``lw_<public id>_<secret>``: makes them, reads them from requests, and hashes them.

The secret is 256 random bits, so a plain hash would prevent guessing. The hash also takes a pepper that is not in the
database: someone who can only write to the database cannot make a key that is accepted. Knows nothing of where keys
are stored. No error here holds any part of a key.
"""

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID, uuid4

_LETTERS = string.ascii_letters + string.digits
#: 43 of 62 letters are 256 bits.
_SECRET_LETTERS = 43
_KEY = re.compile(r"lw_([0-9a-f]{32})_[0-9A-Za-z]{43}", re.ASCII)
#: RFC 6750: the scheme in upper or lower case, blanks, and one token of visible characters.
_BEARER = re.compile(r"bearer +([\x21-\x7e]{1,512})", re.ASCII | re.IGNORECASE)


class Scope(StrEnum):
    """What a key may do."""

    #: Submit jobs, and cancel or delete them.
    SUBMIT = "submit"
    #: Read jobs, their results and the models.
    READ = "read"
    #: Register webhook endpoints, and change them.
    WEBHOOKS = "webhooks"
    #: Everything, including keys and tenants.
    ADMIN = "admin"


#: The key id that stands for the key of the setting ``admin_key``, which is in no table.
INSTALLATION = UUID(int=0)


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A new key. Its ``text`` is shown to its owner once."""

    id: UUID
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.id})"


def new_key() -> GeneratedKey:
    """Makes a key with a random id and a random secret."""
    key_id = uuid4()
    secret = "".join(secrets.choice(_LETTERS) for _ in range(_SECRET_LETTERS))
    return GeneratedKey(key_id, f"lw_{key_id.hex}_{secret}")


def parse_bearer(values: Sequence[str]) -> str | None:
    """The token in a request's ``Authorization`` headers. None unless there is one header, of the scheme Bearer."""
    found = _BEARER.fullmatch(values[0]) if len(values) == 1 else None
    return found[1] if found else None


def parse_id(token: str) -> UUID | None:
    """The public id in a key. None if the token is not a key."""
    found = _KEY.fullmatch(token)
    return UUID(hex=found[1]) if found else None


def digest(token: str, pepper: str) -> bytes:
    """The HMAC-SHA256 of a whole key with its id, 32 bytes. No two keys have the same one."""
    return hmac.digest(pepper.encode(), token.encode(), hashlib.sha256)


def digests_match(one: bytes, other: bytes) -> bool:
    """Compares two digests in constant time."""
    return hmac.compare_digest(one, other)
