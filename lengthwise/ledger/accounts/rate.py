"""Limits the requests of a tenant. The count is exact over all processes: each limited tenant has one row.

Each tenant has a token bucket of ``per_minute`` requests that refills evenly within a minute (the generic cell rate
algorithm, ITU-T I.371).
"""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database


class RateDecision(NamedTuple):
    """Whether one request may be made."""

    is_allowed: bool
    #: Requests that are left, and seconds until the full quota is available again.
    left: int
    full_in: float
    #: Seconds until the next request is allowed; 0 if it is allowed now.
    wait: float


def take_request(connection: Connection, tenant_id: UUID, per_minute: int) -> RateDecision:
    """Takes one request from the tenant's quota. If none is left, nothing changes."""
    cursor = database.cursor(connection)
    row = cursor.execute(_TAKE, {"tenant": tenant_id, "step": 60 / per_minute}).fetchone()
    is_allowed = row is not None
    full_in = max(0.0, row[0] if row else _full_in(connection, [tenant_id]).get(tenant_id, 0.0))
    left = _left(per_minute, full_in)
    wait = 0.0 if left else 60 / per_minute - (60 - full_in)
    return RateDecision(is_allowed, left, full_in, max(0.0, wait))


def count_used(connection: Connection, limits: Mapping[UUID, int]) -> dict[UUID, int]:
    """How many requests of its quota each of these tenants has used up. ``limits``: the requests a minute of each."""
    full_in = _full_in(connection, list(limits))
    return {
        tenant: per_minute - _left(per_minute, max(0.0, full_in.get(tenant, 0.0)))
        for tenant, per_minute in limits.items()
    }


def find_used_up(connection: Connection, default: int | None, *, most: int) -> dict[UUID, int]:
    """The limits of tenants whose next request would be refused now, of ``most`` tenants at most.

    ``default`` is the limit of tenants that have none of their own.
    """
    rows = database.cursor(connection).execute(_USED_UP, {"default": default, "most": most}).fetchall()
    return dict(rows)


def _full_in(connection: Connection, tenants: list[UUID]) -> dict[UUID, float]:
    """Seconds until the full quota is available. Of a tenant that is missing, it is available now."""
    return dict(database.cursor(connection).execute(_LOOK, {"tenants": tenants}).fetchall())


def _left(per_minute: int, full_in: float) -> int:
    # The clock's resolution must not turn a whole number of requests into one less.
    return min(per_minute, int(max(0.0, 60 - full_in) * per_minute / 60 + 1e-6))


_TAKE = """
INSERT INTO rates AS kept (tenant_id, full_at)
VALUES (%(tenant)s, clock_timestamp() + make_interval(secs => %(step)s))
ON CONFLICT (tenant_id) DO UPDATE
SET full_at = greatest(kept.full_at, clock_timestamp()) + make_interval(secs => %(step)s)
WHERE greatest(kept.full_at, clock_timestamp()) + make_interval(secs => %(step)s)
      <= clock_timestamp() + interval '60 seconds'
RETURNING extract(epoch FROM full_at - clock_timestamp())::float8
"""

_LOOK = """
SELECT tenant_id, extract(epoch FROM full_at - clock_timestamp())::float8 FROM rates
WHERE tenant_id = ANY(%(tenants)s)
"""

# The condition of _TAKE, turned round. The table has a row for each tenant with a limit, and is small.
_USED_UP = """
SELECT tenant_id, per_minute FROM (
  SELECT tenant_id, full_at, coalesce(max_requests_per_minute, %(default)s::int) AS per_minute
  FROM rates JOIN tenants ON tenants.id = rates.tenant_id
) limited
WHERE full_at > clock_timestamp() + make_interval(secs => 60 - 60.0 / per_minute)
ORDER BY tenant_id LIMIT %(most)s
"""
