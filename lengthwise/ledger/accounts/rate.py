"""Limits the requests of a tenant. The count is exact over all processes: each limited tenant has one row.

Each tenant has a token bucket of ``per_minute`` requests that refills evenly within a minute (the generic cell rate
algorithm, ITU-T I.371).
"""

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
    wanted = {"tenant": tenant_id, "step": 60 / per_minute}
    row = cursor.execute(_TAKE, wanted).fetchone()
    is_allowed = row is not None
    if row is None:
        row = cursor.execute(_LOOK, wanted).fetchone()
    # If the row was deleted, the full quota is available.
    full_in = max(0.0, row[0]) if row else 0.0
    # The clock's resolution must not turn a whole number of requests into one less.
    left = min(per_minute, int(max(0.0, 60 - full_in) * per_minute / 60 + 1e-6))
    wait = 0.0 if left else 60 / per_minute - (60 - full_in)
    return RateDecision(is_allowed, left, full_in, max(0.0, wait))


_TAKE = """
INSERT INTO rates AS kept (tenant_id, full_at)
VALUES (%(tenant)s, clock_timestamp() + make_interval(secs => %(step)s))
ON CONFLICT (tenant_id) DO UPDATE
SET full_at = greatest(kept.full_at, clock_timestamp()) + make_interval(secs => %(step)s)
WHERE greatest(kept.full_at, clock_timestamp()) + make_interval(secs => %(step)s)
      <= clock_timestamp() + interval '60 seconds'
RETURNING extract(epoch FROM full_at - clock_timestamp())::float8
"""

_LOOK = "SELECT extract(epoch FROM full_at - clock_timestamp())::float8 FROM rates WHERE tenant_id = %(tenant)s"
