"""Hands shards of one bucket, across jobs and tenants, to one worker under a lease; keeps or takes back that lease."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    id: UUID
    kind: str
    model: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    shard_id: int
    job_id: UUID
    index: int
    n_tokens: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker holds. ``token`` is its right to settle: random, so that a worker back from the dead has none."""

    token: UUID
    jobs: dict[UUID, ClaimedJob]
    items: list[ClaimedItem]
    #: How often each shard has been claimed, this time included.
    attempts: dict[int, int]

    @property
    def shard_ids(self) -> list[int]:
        return list(dict.fromkeys(item.shard_id for item in self.items))


def claim(
    connection: Connection, pool: str, token: UUID, *, tokens: int, items: int, lease_seconds: float
) -> Claim | None:
    """Takes the fair queue's head and fills up from its bucket to ``tokens`` input tokens or ``items`` items.

    Shards are taken whole, so the last one may go beyond. Returns None when nothing of this pool is ready.
    """
    cursor = database.cursor(connection)
    # A claim that a crash forgets is only a lease that never started: it need not wait for the disk.
    cursor.execute("SET LOCAL synchronous_commit = off")
    cursor.execute(_CLAIM, {"pool": pool, "token": token, "tokens": tokens, "items": items, "lease": lease_seconds})
    return _load(connection, token, cursor.fetchall())


def _load(connection: Connection, token: UUID, shards: Sequence[tuple[int, UUID, int]]) -> Claim | None:
    if not shards:
        return None
    job_of = {shard_id: job_id for shard_id, job_id, _ in shards}
    cursor = connection.connection.driver_connection.cursor(binary=True)  # type: ignore[union-attr]
    cursor.execute(_ITEMS, {"ids": list(job_of)})
    items = [ClaimedItem(shard_id, job_of[shard_id], *rest) for shard_id, *rest in cursor.fetchall()]
    cursor.execute(_JOBS, {"ids": list(set(job_of.values()))})
    jobs = {row[0]: ClaimedJob(*row) for row in cursor.fetchall()}
    return Claim(token, jobs, items, {shard_id: attempts for shard_id, _, attempts in shards})


def claim_exhausted(connection: Connection, token: UUID, *, max_attempts: int, lease_seconds: float) -> Claim | None:
    """Takes shards whose leases ran out ``max_attempts`` times: their items are to be settled as errors, not run."""
    cursor = database.cursor(connection)
    cursor.execute(_CLAIM_EXHAUSTED, {"token": token, "max_attempts": max_attempts, "lease": lease_seconds})
    return _load(connection, token, cursor.fetchall())


def heartbeat(connection: Connection, token: UUID, shard_ids: Iterable[int], *, lease_seconds: float) -> set[int]:
    """Renews the lease of those shards that the token still holds, and returns them: the rest was taken away."""
    cursor = database.cursor(connection)
    cursor.execute(_HEARTBEAT, {"token": token, "ids": list(shard_ids), "lease": lease_seconds})
    return {row[0] for row in cursor.fetchall()}


def release(connection: Connection, token: UUID, shard_ids: Sequence[int]) -> None:
    """Gives shards back: claimable at once, and no attempt is charged."""
    database.cursor(connection).execute(_RELEASE, {"token": token, "ids": list(shard_ids)})


def delay(connection: Connection, token: UUID, shard_ids: Sequence[int], seconds: float) -> None:
    """Gives shards back after a failure that time may heal: claimable in ``seconds``, the attempt counts."""
    database.cursor(connection).execute(_DELAY, {"token": token, "ids": list(shard_ids), "seconds": seconds})


# The head by (priority, vkey) picks the bucket, which is filled from the head onward in the same order. No lock is
# waited for: a worker that loses a race takes what is left. Only what is taken is locked, so that another worker never
# finds a queue empty that is not; the head is locked first, so that it never comes away with nothing. ARRAY(…) keeps
# the planner from joining with all shards.
_CLAIM = """
WITH head AS MATERIALIZED (
  SELECT bucket, priority, vkey, id FROM shards
  WHERE pool = %(pool)s AND state = 'ready' AND not_before <= now()
  ORDER BY priority, vkey, id LIMIT 1 FOR UPDATE SKIP LOCKED
), waiting AS (
  SELECT id, priority, vkey, n_tokens, hi - lo AS n_items FROM shards
  WHERE pool = %(pool)s AND bucket = (SELECT bucket FROM head) AND state = 'ready' AND not_before <= now()
    AND (priority, vkey, id) >= (SELECT priority, vkey, id FROM head)
  ORDER BY priority, vkey, id LIMIT %(items)s
), filled AS (
  SELECT id, sum(n_tokens) OVER queue - n_tokens AS tokens, sum(n_items) OVER queue - n_items AS items FROM waiting
  WINDOW queue AS (ORDER BY priority, vkey, id)
), taken AS (
  SELECT id FROM shards
  WHERE id = ANY(ARRAY(SELECT id FROM filled WHERE tokens < %(tokens)s AND items < %(items)s)) AND state = 'ready'
  FOR UPDATE SKIP LOCKED
)
UPDATE shards SET state = 'leased', token = %(token)s, attempts = attempts + 1,
                  lease_until = now() + make_interval(secs => %(lease)s)
WHERE id = ANY(ARRAY(SELECT id FROM taken))
RETURNING id, job_id, attempts
"""

_CLAIM_EXHAUSTED = """
UPDATE shards SET token = %(token)s, lease_until = now() + make_interval(secs => %(lease)s)
WHERE id = ANY(ARRAY(SELECT id FROM shards
                     WHERE state = 'leased' AND lease_until < now() AND attempts >= %(max_attempts)s
                     ORDER BY lease_until LIMIT 16 FOR UPDATE SKIP LOCKED))
RETURNING id, job_id, attempts
"""

# OFFSET 0 keeps the planner from turning a range scan a shard into one join over all items of the jobs.
_ITEMS = """
SELECT shards.id, item.index, item.n_tokens, item.payload
FROM shards CROSS JOIN LATERAL (
  SELECT index, n_tokens, payload FROM items
  WHERE items.job_id = shards.job_id AND items.pos >= shards.lo AND items.pos < shards.hi OFFSET 0
) item
WHERE shards.id = ANY(%(ids)s)
"""

_JOBS = "SELECT id, kind, model, params FROM jobs WHERE id = ANY(%(ids)s)"

# Locked in order of id, as everywhere: a heartbeat, a settlement and a cancellation may meet.
_HELD = """
WHERE id = ANY(ARRAY(SELECT id FROM shards WHERE id = ANY(%(ids)s) AND token = %(token)s AND state = 'leased'
                     ORDER BY id FOR UPDATE))
"""

_HEARTBEAT = f"""
UPDATE shards SET lease_until = now() + make_interval(secs => %(lease)s) {_HELD} RETURNING id
"""  # noqa: S608 — of constants, like the next two

_RELEASE = f"""
UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL, attempts = attempts - 1 {_HELD}
"""  # noqa: S608

_DELAY = f"""
UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL,
                  not_before = now() + make_interval(secs => %(seconds)s) {_HELD}
"""  # noqa: S608
