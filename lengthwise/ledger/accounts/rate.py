"""How many requests a tenant may still make, exactly, however many processes ask: one row a tenant that is limited.

A bucket of ``per_minute`` requests that fills evenly within a minute (the generic cell rate algorithm: ITU-T I.371).
"""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database


class RateDecision(NamedTuple):
    """What came of asking for one request."""

    is_allowed: bool
    #: Requests that are left, and seconds until the bucket is full again.
    left: int
    full_in: float
    #: Seconds until the next one is allowed; 0 if one is.
    wait: float


def take_request(connection: Connection, tenant_id: UUID, per_minute: int) -> RateDecision:
    """Takes one request from the tenant's bucket, if one is left. Nothing changes if none is."""
    cursor = database.cursor(connection)
    wanted = {"tenant": tenant_id, "step": 60 / per_minute}
    row = cursor.execute(_TAKE, wanted).fetchone()
    is_allowed = row is not None
    if row is None:
        row = cursor.execute(_LOOK, wanted).fetchone()
    # Of a bucket whose row is gone meanwhile all is left.
    full_in = max(0.0, row[0]) if row else 0.0
    # A clock's ticks: what is left is never a hair below a whole number.
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
