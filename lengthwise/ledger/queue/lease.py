"""Renews a claim's lease, or gives shards back. Every function needs the claim's token."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database


def find_held(connection: Connection, token: UUID, shard_ids: Iterable[int]) -> set[int]:
    """Those of the shards that the token still holds; cancelled ones are missing. Renews nothing."""
    cursor = database.cursor(connection)
    cursor.execute(STILL_HELD, {"token": token, "ids": list(shard_ids)})
    return {row[0] for row in cursor.fetchall()}


def heartbeat(connection: Connection, token: UUID, shard_ids: Iterable[int], *, lease_seconds: float) -> set[int]:
    """Renews the lease of those shards that the token still holds, and returns their ids. The others are lost."""
    cursor = database.cursor(connection)
    cursor.execute(_HEARTBEAT, {"token": token, "ids": list(shard_ids), "lease": lease_seconds})
    return {row[0] for row in cursor.fetchall()}


def release(connection: Connection, token: UUID, shard_ids: Iterable[int]) -> None:
    """Gives shards back. They may be claimed at once, and the claim does not count against them."""
    database.cursor(connection).execute(_RELEASE, {"token": token, "ids": list(shard_ids)})


def delay(
    connection: Connection, token: UUID, shard_ids: Iterable[int], seconds: float, *, counted: bool = True
) -> None:
    """Gives shards back after a failure that may pass with time. They may be claimed again in about ``seconds``.

    Each shard's pause is 0.5 to 1.5 times as long, so that they do not all return at once. If ``counted``, the failure
    is one of the shard's attempts.
    """
    values = {"token": token, "ids": list(shard_ids), "seconds": seconds, "attempts": int(counted)}
    database.cursor(connection).execute(_DELAY, values)


STILL_HELD = "SELECT id FROM shards WHERE id = ANY(%(ids)s) AND token = %(token)s AND state = 'leased'"

# Shards are locked in order of id, as everywhere, because a heartbeat, a settlement and a cancellation may meet.
_HELD = f"WHERE id = ANY(ARRAY({STILL_HELD} ORDER BY id FOR UPDATE))"

_HEARTBEAT = f"""
UPDATE shards SET lease_until = now() + make_interval(secs => %(lease)s) {_HELD} RETURNING id
"""  # noqa: S608

_RELEASE = f"""
UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL, deaths = deaths - 1 {_HELD}
"""  # noqa: S608

_DELAY = f"""
UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL, deaths = deaths - 1,
                  attempts = attempts + %(attempts)s,
                  not_before = now() + make_interval(secs => %(seconds)s * (0.5 + random())) {_HELD}
"""  # noqa: S608
