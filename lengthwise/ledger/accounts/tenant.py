"""Tenants: their share of the work, and their limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

from psycopg.errors import UniqueViolation
from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import Conflict, NotFound

Default = TypeVar("Default", int, int | None)


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant. Where a limit is None, the limit of the settings applies."""

    id: UUID
    name: str
    weight: float
    max_pending_tokens: int | None
    max_requests_per_minute: int | None
    max_open_jobs: int | None
    created_at: datetime


def in_force(own: int | None, default: Default) -> int | Default:
    """The limit that counts: the tenant's own, or else that of the settings; None if there is none."""
    return default if own is None else own


def find(connection: Connection, tenant_id: UUID) -> TenantRow:
    """The tenant. Raises ``NotFound``."""
    return _one(_tenants(connection, _ONE, {"id": tenant_id}))


def find_names(connection: Connection, tenant_ids: Sequence[UUID]) -> dict[UUID, str]:
    """What these tenants are called, those of them that are there."""
    return dict(database.cursor(connection).execute(_NAMES_OF_IDS, {"ids": list(tenant_ids)}).fetchall())


def page(connection: Connection, after: UUID | None, limit: int) -> list[TenantRow]:
    """Tenants, newest first; with ``after``, only those made before that tenant."""
    return _tenants(connection, _PAGE, {"after": after, "limit": limit})


def add(connection: Connection, values: Mapping[str, Any]) -> TenantRow:
    """Stores a new tenant with these values. Raises ``Conflict`` if another tenant has the name."""
    return _written(connection, _ADD, dict(values) | {"id": uuid4()})[0]


def change(connection: Connection, tenant_id: UUID, values: Mapping[str, Any]) -> TenantRow:
    """Sets these values of the tenant. Raises ``NotFound``, and ``Conflict`` if another tenant has the name."""
    named = {f"has_{name}": name in values for name in _NAMES}
    return _one(_written(connection, _CHANGE, dict.fromkeys(_NAMES) | dict(values) | named | {"id": tenant_id}))


def _written(connection: Connection, statement: str, values: dict[str, Any]) -> list[TenantRow]:
    try:
        return _tenants(connection, statement, values)
    except UniqueViolation:
        raise Conflict("another tenant has this name") from None


def _one(found: list[TenantRow]) -> TenantRow:
    if not found:
        raise NotFound("there is no such tenant")
    return found[0]


def _tenants(connection: Connection, statement: str, params: dict[str, Any]) -> list[TenantRow]:
    return database.cursor(connection, rows=class_row(TenantRow)).execute(statement, params).fetchall()


_NAMES = ("name", "weight", "max_pending_tokens", "max_requests_per_minute", "max_open_jobs")

_SHOWN = f"id, {', '.join(_NAMES)}, created_at"

_ONE = f"SELECT {_SHOWN} FROM tenants WHERE id = %(id)s"  # noqa: S608 - built from constants, like the others here

_NAMES_OF_IDS = "SELECT id, name FROM tenants WHERE id = ANY(%(ids)s)"

_PAGE = f"""
SELECT {_SHOWN} FROM tenants
WHERE %(after)s::uuid IS NULL
   OR (created_at, id) < (SELECT created_at, id FROM tenants WHERE id = %(after)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608

_ADD = f"""
INSERT INTO tenants (id, {", ".join(_NAMES)})
VALUES (%(id)s, {", ".join(f"%({name})s" for name in _NAMES)}) RETURNING {_SHOWN}
"""  # noqa: S608

_CHANGE = f"""
UPDATE tenants
SET {", ".join(f"{name} = CASE WHEN %(has_{name})s THEN %({name})s ELSE {name} END" for name in _NAMES)}
WHERE id = %(id)s RETURNING {_SHOWN}
"""  # noqa: S608
