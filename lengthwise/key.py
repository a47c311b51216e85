"""An API key, ``lw_<public id>_<secret>``: made, read from a request, and reduced to what is stored of it.

The secret is 256 random bits, so a plain hash would do against guessing. The pepper, which the database does not have,
is for another case: who can write to the database alone can make no key that is let in. Knows nothing of where keys
are kept. No error here carries any part of a key.
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
#: RFC 6750: the scheme in any case, blanks, and one token of visible characters.
_BEARER = re.compile(r"bearer +([\x21-\x7e]{1,512})", re.ASCII | re.IGNORECASE)


class Scope(StrEnum):
    """What a key may do."""

    #: Make jobs, and end them.
    SUBMIT = "submit"
    #: See jobs, their results and the models.
    READ = "read"
    #: Register endpoints of webhooks, and change them.
    WEBHOOKS = "webhooks"
    #: Everything, keys and tenants too.
    ADMIN = "admin"


#: In place of a key's id: the key of the setting ``admin_key``, which no table has.
INSTALLATION = UUID(int=0)


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A key that was made just now; ``text`` is shown to its owner once."""

    id: UUID
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.id})"


def new_key() -> GeneratedKey:
    key_id = uuid4()
    secret = "".join(secrets.choice(_LETTERS) for _ in range(_SECRET_LETTERS))
    return GeneratedKey(key_id, f"lw_{key_id.hex}_{secret}")


def parse_bearer(values: Sequence[str]) -> str | None:
    """The token of a request's ``Authorization`` headers; None unless there is one header, and it is a bearer's."""
    found = _BEARER.fullmatch(values[0]) if len(values) == 1 else None
    return found[1] if found else None


def parse_id(token: str) -> UUID | None:
    """The public id in a key; None for what is none."""
    found = _KEY.fullmatch(token)
    return UUID(hex=found[1]) if found else None


def digest(token: str, pepper: str) -> bytes:
    """HMAC-SHA256 of a whole key, its id included: the hash of one key is none of another. 32 bytes."""
    return hmac.digest(pepper.encode(), token.encode(), hashlib.sha256)


def digests_match(one: bytes, other: bytes) -> bool:
    """Compares two digests in a time that tells nothing of them."""
    return hmac.compare_digest(one, other)
