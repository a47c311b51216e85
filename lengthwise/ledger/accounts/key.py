"""API keys: which tenant each belongs to, and what it may do. Only a key's hash is stored, never the key."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import ForeignKeyViolation
from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as its owner may see it."""

    id: UUID
    tenant_id: UUID
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credential:
    """What is needed to check a key, and the limits of its tenant."""

    id: UUID
    tenant_id: UUID
    hash: bytes
    scopes: list[str]
    max_requests_per_minute: int | None
    max_open_jobs: int | None


def valid_credentials(connection: Connection, key_ids: Sequence[UUID]) -> dict[UUID, Credential]:
    """Those of the keys that are neither expired nor revoked now, by their id."""
    cursor = database.cursor(connection, rows=class_row(Credential))
    return {found.id: found for found in cursor.execute(_CREDENTIALS, {"ids": list(key_ids)}).fetchall()}


def add(
    connection: Connection,
    tenant_id: UUID,
    key_id: UUID,
    digest: bytes,
    *,
    name: str,
    scopes: Collection[str],
    expires_in: int | None = None,
) -> KeyRow:
    """Stores a new key. It expires after ``expires_in`` seconds; with None it lasts until it is revoked.

    Raises ``NotFound`` if there is no such tenant.
    """
    new = {"id": key_id, "tenant": tenant_id, "hash": digest, "name": name, "scopes": sorted(scopes)}
    try:
        return _keys(connection, _ADD, new | {"expires_in": expires_in})[0]
    except ForeignKeyViolation:
        raise NotFound("there is no such tenant") from None


def find(connection: Connection, key_id: UUID, tenant_id: UUID | None) -> KeyRow:
    """The key, if it is this tenant's; with None it may be any tenant's. Raises ``NotFound``."""
    return _one(_keys(connection, _ONE, {"id": key_id, "tenant": tenant_id}))


def page(connection: Connection, tenant_id: UUID, after: UUID | None, limit: int) -> list[KeyRow]:
    """A tenant's keys, newest first; with ``after``, only those made before that key; expired and revoked ones too."""
    return _keys(connection, _PAGE, {"tenant": tenant_id, "after": after, "limit": limit})


def revoke(connection: Connection, key_id: UUID, tenant_id: UUID | None) -> KeyRow:
    """Revokes the key. If it is revoked already, nothing changes. Raises ``NotFound``."""
    return _one(_keys(connection, _REVOKE, {"id": key_id, "tenant": tenant_id}))


def rotate(
    connection: Connection, key_id: UUID, tenant_id: UUID | None, new_id: UUID, digest: bytes, *, overlap: int
) -> KeyRow:
    """Stores a new key of the same name, scopes and lifetime. The old key expires in ``overlap`` seconds at most.

    Raises ``NotFound``, and ``Conflict`` if the old key is expired or revoked.
    """
    rotated = {"id": key_id, "tenant": tenant_id, "new": new_id, "hash": digest, "overlap": overlap}
    find(connection, key_id, tenant_id)
    found = _keys(connection, _ROTATE, rotated)
    if not found:
        raise Conflict("the key is expired or revoked: make a new one")
    return found[0]


def _one(found: list[KeyRow]) -> KeyRow:
    if not found:
        raise NotFound("there is no such key")
    return found[0]


def _keys(connection: Connection, statement: str, params: dict[str, Any]) -> list[KeyRow]:
    return database.cursor(connection, rows=class_row(KeyRow)).execute(statement, params).fetchall()


_SHOWN = "id, tenant_id, name, scopes, created_at, expires_at, revoked_at"

_IS_VALID = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"

_MINE = "id = %(id)s AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s)"

_CREDENTIALS = f"""
SELECT keys.id, tenant_id, hash, scopes, max_requests_per_minute, max_open_jobs
FROM keys JOIN tenants ON tenants.id = keys.tenant_id
WHERE keys.id = ANY(%(ids)s) AND {_IS_VALID}
"""  # noqa: S608 - built from constants, like the others here

_ADD = f"""
INSERT INTO keys (id, tenant_id, hash, name, scopes, expires_at)
VALUES (%(id)s, %(tenant)s, %(hash)s, %(name)s, %(scopes)s, now() + make_interval(secs => %(expires_in)s::int))
RETURNING {_SHOWN}
"""  # noqa: S608

_ONE = f"SELECT {_SHOWN} FROM keys WHERE {_MINE}"  # noqa: S608

_PAGE = f"""
SELECT {_SHOWN} FROM keys
WHERE tenant_id = %(tenant)s
  AND (%(after)s::uuid IS NULL
       OR (created_at, id) < (SELECT created_at, id FROM keys WHERE id = %(after)s AND tenant_id = %(tenant)s))
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608

_REVOKE = f"UPDATE keys SET revoked_at = coalesce(revoked_at, now()) WHERE {_MINE} RETURNING {_SHOWN}"  # noqa: S608

# The new key gets the lifetime that the old one was made with. If two requests rotate one key at the same time, the
# second one works on what the first has left.
_ROTATE = f"""
WITH old AS MATERIALIZED (
  SELECT id, tenant_id, name, scopes, expires_at - created_at AS lifetime FROM keys
  WHERE {_MINE} AND {_IS_VALID} FOR UPDATE
), shortened AS (
  UPDATE keys SET expires_at = least(keys.expires_at, now() + make_interval(secs => %(overlap)s))
  FROM old WHERE keys.id = old.id
)
INSERT INTO keys (id, tenant_id, hash, name, scopes, expires_at)
SELECT %(new)s, tenant_id, %(hash)s, name, scopes, now() + lifetime FROM old
RETURNING {_SHOWN}
"""  # noqa: S608
