"""Webhook endpoints: receivers that a tenant registers once for all its events, and the secrets that sign for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg.rows import class_row
from pydantic_core import to_json
from sqlalchemy import Connection

from lengthwise import bells, database
from lengthwise.errors import Conflict, NotFound
from lengthwise.ledger.webhooks import delivery_log, event, sealed_secret
from lengthwise.ledger.webhooks.delivery import FAIL_PENDING
from lengthwise.webhooks.secret import derive_public_key, new_secret, new_signing_key
from lengthwise.webhooks.subscription import TEST


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint, without its secrets."""

    id: UUID
    url: str
    description: str
    events: list[str]
    filter: str | None
    public_key: str
    is_enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    #: Until when the secrets from before the last rotation sign as well; None if they do not.
    old_until: datetime | None


@dataclass(frozen=True, slots=True)
class EndpointValues:
    """What a caller decides about an endpoint."""

    url: str
    events: list[str]
    description: str = ""
    filter: str | None = None
    is_enabled: bool = True


def create(
    connection: Connection, tenant_id: UUID, wanted: EndpointValues, given_secret: str | None, *, limit: int
) -> tuple[EndpointRow, str]:
    """Stores an endpoint. Returns it and its secret, which cannot be read again later.

    Raises ``Conflict`` if the tenant has ``limit`` endpoints already.
    """
    cursor = database.cursor(connection)
    cursor.execute(_LOCK_TENANT, {"tenant": tenant_id})
    if count_by_tenant(connection, [tenant_id])[tenant_id] >= limit:
        raise Conflict(f"there may be at most {limit} webhook endpoints")
    endpoint_id, made = uuid4(), given_secret or new_secret()
    cursor.execute(_INSERT, {"id": endpoint_id, "tenant": tenant_id, **_columns(wanted), **_sealed(endpoint_id, made)})
    return find(connection, endpoint_id, tenant_id), made


def count_by_tenant(connection: Connection, tenant_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many endpoints each of these tenants has."""
    rows = database.cursor(connection).execute(_COUNT, {"tenants": list(tenant_ids)}).fetchall()
    return dict.fromkeys(tenant_ids, 0) | dict(rows)


def _columns(wanted: EndpointValues) -> dict[str, Any]:
    names = ("url", "events", "description", "filter", "is_enabled")
    return {name: getattr(wanted, name) for name in names}


def _sealed(endpoint_id: UUID, made: str) -> dict[str, str]:
    """The secret and a new ed25519 key as they are stored, and the public key."""
    signing_key = new_signing_key()
    return {
        "secret": sealed_secret.seal_for_endpoint(endpoint_id, "secret", made),
        "signing_key": sealed_secret.seal_for_endpoint(endpoint_id, "signing_key", signing_key),
        "public_key": derive_public_key(signing_key),
    }


def find(connection: Connection, endpoint_id: UUID, tenant_id: UUID) -> EndpointRow:
    """One endpoint. Raises ``NotFound``."""
    found = _read(connection, _ONE, {"id": endpoint_id, "tenant": tenant_id})
    if not found:
        raise NotFound("there is no such webhook endpoint")
    return found[0]


def page(connection: Connection, tenant_id: UUID, after: UUID | None, limit: int) -> list[EndpointRow]:
    """A tenant's endpoints, newest first; with ``after``, only those created before that endpoint."""
    return _read(connection, _PAGE, {"tenant": tenant_id, "after": after, "limit": limit})


def _read(connection: Connection, where: str, params: Mapping[str, Any]) -> list[EndpointRow]:
    cursor = database.cursor(connection, rows=class_row(EndpointRow))
    return cursor.execute(_SELECT.format(where=where).encode(), params).fetchall()


def change(connection: Connection, endpoint_id: UUID, tenant_id: UUID, changes: Mapping[str, Any]) -> EndpointRow:
    """Sets fields of ``EndpointValues``.

    If it is disabled, its pending deliveries become failed. If it is enabled, its record of failures begins anew.

    Raises ``NotFound``.
    """
    found = find(connection, endpoint_id, tenant_id)
    kept = {name: value for name, value in _columns_of(found).items() if name not in changes}
    cursor = database.cursor(connection)
    cursor.execute(_CHANGE, {"id": endpoint_id, **kept, **changes})
    if changes.get("is_enabled") is False:
        cursor.execute(FAIL_PENDING, {"endpoint": endpoint_id})
    return find(connection, endpoint_id, tenant_id)


def _columns_of(found: EndpointRow) -> dict[str, Any]:
    return _columns(EndpointValues(found.url, found.events, found.description, found.filter, found.is_enabled))


def delete(connection: Connection, endpoint_id: UUID, tenant_id: UUID) -> None:
    """Removes the endpoint and its deliveries. Raises ``NotFound``."""
    cursor = database.cursor(connection)
    cursor.execute(_DELETE, {"id": endpoint_id, "tenant": tenant_id})
    if not cursor.rowcount:
        raise NotFound("there is no such webhook endpoint")
    cursor.execute(_DELETE_DELIVERIES, {"id": endpoint_id})


def rotate(
    connection: Connection, endpoint_id: UUID, tenant_id: UUID, given_secret: str | None, *, overlap_seconds: float
) -> tuple[EndpointRow, str]:
    """Replaces the secrets. Returns the endpoint and its new secret. Raises ``NotFound``.

    The old secrets sign beside the new ones for ``overlap_seconds``. Those of an earlier rotation stop at once.
    """
    find(connection, endpoint_id, tenant_id)
    made = given_secret or new_secret()
    given = {"id": endpoint_id, "overlap": overlap_seconds, **_sealed(endpoint_id, made)}
    database.cursor(connection).execute(_ROTATE, given)
    return find(connection, endpoint_id, tenant_id), made


def send_test(connection: Connection, endpoint_id: UUID, tenant_id: UUID) -> UUID:
    """Writes an ``endpoint.test`` event, even if the endpoint did not subscribe to it. Returns the delivery's id.

    Raises ``NotFound``, and ``Conflict`` if the endpoint is disabled.
    """
    found = find(connection, endpoint_id, tenant_id)
    delivery_log.require_enabled(connection, endpoint_id)
    delivery_id = uuid4()
    to = event.EventReceiver(None, found.id, found.id, found.url)
    event.write(connection, to, delivery_id, TEST, to_json({"id": str(found.id)}))
    bells.note(connection, bells.DELIVER)
    return delivery_id


# Locks the tenant, so that two requests at once cannot exceed the limit of endpoints.
_LOCK_TENANT = "SELECT id FROM tenants WHERE id = %(tenant)s FOR NO KEY UPDATE"

_COUNT = "SELECT tenant_id, count(*) FROM webhook_endpoints WHERE tenant_id = ANY(%(tenants)s) GROUP BY tenant_id"

_INSERT = """
INSERT INTO webhook_endpoints (id, tenant_id, url, events, description, filter, is_enabled, secret, signing_key,
                               public_key)
VALUES (%(id)s, %(tenant)s, %(url)s, %(events)s, %(description)s, %(filter)s, %(is_enabled)s, %(secret)s,
        %(signing_key)s, %(public_key)s)
"""

_SELECT = """
SELECT id, url, description, events, filter, public_key, is_enabled, disabled_reason, failing_since, created_at,
       CASE WHEN old_until > now() THEN old_until END AS old_until
FROM webhook_endpoints {where}
"""

_ONE = "WHERE id = %(id)s AND tenant_id = %(tenant)s"

_PAGE = """
WHERE tenant_id = %(tenant)s
  AND (%(after)s::uuid IS NULL
       OR (created_at, id) < (SELECT created_at, id FROM webhook_endpoints
                              WHERE id = %(after)s AND tenant_id = %(tenant)s))
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""

_CHANGE = """
UPDATE webhook_endpoints
SET url = %(url)s, events = %(events)s, description = %(description)s, filter = %(filter)s,
    is_enabled = %(is_enabled)s,
    disabled_reason = CASE WHEN %(is_enabled)s THEN NULL WHEN is_enabled THEN 'by its owner' ELSE disabled_reason END,
    failing_since = CASE WHEN %(is_enabled)s AND NOT is_enabled THEN NULL ELSE failing_since END
WHERE id = %(id)s
"""

_DELETE = "DELETE FROM webhook_endpoints WHERE id = %(id)s AND tenant_id = %(tenant)s"

_DELETE_DELIVERIES = "DELETE FROM deliveries WHERE endpoint_id = %(id)s"

_ROTATE = """
UPDATE webhook_endpoints
SET old_secret = secret, old_signing_key = signing_key, old_until = now() + make_interval(secs => %(overlap)s),
    secret = %(secret)s, signing_key = %(signing_key)s, public_key = %(public_key)s
WHERE id = %(id)s
"""
