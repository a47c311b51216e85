"""Hands shards of like length, across jobs and tenants, to one worker under a lease."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.states import Priority


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    id: UUID
    tenant_id: UUID
    kind: str
    model: str
    params: dict[str, Any]
    #: Whether its items may be answered by another's computation, where decoding is deterministic.
    deduplicate: bool


class ClaimedItem(NamedTuple):
    shard_id: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name, which nobody misses here
    n_tokens: int
    payload: bytes


#: Shards in one claim.
_MAX_SHARDS = 256
#: More than a shard ever has.
_ANY_DEATHS = 2**15 - 1

#: A row as an item: what ``_make`` does, without a call into Python for each.
_as_item: Callable[[Iterable[Any]], ClaimedItem] = partial(tuple.__new__, ClaimedItem)


@dataclass(frozen=True, slots=True)
class ClaimedShard:
    id: int
    job_id: UUID
    #: Claims of it whose worker has not reported back, this one included: beyond one it is suspected of killing.
    deaths: int
    #: Failures so far that time may heal.
    attempts: int
    bucket: int
    priority: int
    vkey: float
    n_items: int
    n_tokens: int

    @property
    def is_interactive(self) -> bool:
        """Whether somebody waits for it."""
        return self.priority == Priority.INTERACTIVE


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker holds. ``token`` is its right to settle: random, so that a worker back from the dead has none."""

    token: UUID
    jobs: dict[UUID, ClaimedJob]
    #: By their id, the most urgent first.
    shards: dict[int, ClaimedShard]
    items: list[ClaimedItem]

    @property
    def shard_ids(self) -> list[int]:
        return list(self.shards)


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """How much one claim takes: at most ``tokens`` input tokens and ``items`` items, or one shard that is larger.

    One engine batch is ``batch_items`` items and their share of the tokens. A claim that holds less goes on in the
    neighbouring buckets. A claim that begins with an interactive shard takes no more than one batch.
    """

    tokens: int
    items: int
    batch_items: int = 0

    @property
    def one_batch(self) -> "ClaimLimits":
        return ClaimLimits(self.tokens * self.batch_items // self.items, self.batch_items)

    def missing(self, shards: Collection[ClaimedShard]) -> "ClaimLimits | None":
        """What these shards leave of a batch to fill up; None if they are enough."""
        batch = self.one_batch
        tokens = batch.tokens - sum(shard.n_tokens for shard in shards)
        items = batch.items - sum(shard.n_items for shard in shards)
        return ClaimLimits(tokens, items) if min(tokens, items) > 0 else None


def claim(
    connection: Connection,
    pool: str,
    token: UUID,
    limits: ClaimLimits,
    *,
    lease_seconds: float,
    with_suspects: bool = True,
    least: Priority = Priority.BACKGROUND,
) -> Claim | None:
    """Takes the fair queue's head and fills up from its bucket, and its neighbours, as ``limits`` say.

    Shards are taken whole; what goes beyond the limits is left, for it would make a batch of its own. One that a worker
    died over is taken alone, or passed over: who holds anything else must not take it. Returns None when nothing of
    this pool is ready, or nothing whose priority is at least ``least``.
    """
    cursor = database.cursor(connection)
    with database.pipelined(connection):
        # A claim that a crash forgets is only a lease that never started: it need not wait for the disk.
        cursor.execute("SET LOCAL synchronous_commit = off")
        head = {"most_deaths": _ANY_DEATHS if with_suspects else 0, "least": int(least)}
        batch = limits.one_batch if limits.batch_items else limits
        urgent = {"urgent": int(Priority.INTERACTIVE), "urgent_tokens": batch.tokens, "urgent_items": batch.items}
        taken = _take(cursor, _CLAIM, pool, token, limits, lease_seconds, **head, **urgent)
        return _load(connection, token, taken + _more(cursor, pool, token, taken, limits, lease_seconds))


def has_interactive_work(connection: Connection, pool: str) -> bool:
    """Whether somebody waits for something in this pool that no worker died over: a quarter of a claim in vain."""
    found = database.cursor(connection).execute(_IS_WAITED_FOR, {"pool": pool, "urgent": int(Priority.INTERACTIVE)})
    return found.fetchone() == (True,)


def top_up(connection: Connection, pool: str, claimed: Claim, limits: ClaimLimits, *, lease_seconds: float) -> Claim:
    """Adds shards that became ready since to a claim that holds less than a batch."""
    cursor = database.cursor(connection)
    cursor.execute("SET LOCAL synchronous_commit = off")
    held = list(claimed.shards.values())
    more = _load(connection, claimed.token, _more(cursor, pool, claimed.token, held, limits, lease_seconds))
    if more is None:
        return claimed
    return Claim(claimed.token, claimed.jobs | more.jobs, claimed.shards | more.shards, claimed.items + more.items)


def _more(
    cursor: Cursor[Any], pool: str, token: UUID, taken: list[ClaimedShard], limits: ClaimLimits, lease_seconds: float
) -> list[ClaimedShard]:
    missing = limits.missing(taken)
    if not taken or missing is None or any(shard.deaths > 1 for shard in taken):
        return []
    return _take(cursor, _CLAIM_NEAR, pool, token, missing, lease_seconds, bucket=taken[0].bucket)


def _take(
    cursor: Cursor[Any], statement: str, pool: str, token: UUID, limits: ClaimLimits, lease_seconds: float, **more: int
) -> list[ClaimedShard]:
    which = {"pool": pool, "token": token, "tokens": limits.tokens, "items": limits.items, "lease": lease_seconds}
    # All that are looked at are read: fewer than the items, which only shards of one item would need.
    shards = min(limits.items, _MAX_SHARDS)
    cursor.execute(statement, which | {"shards": shards} | more)
    return [ClaimedShard(*row) for row in cursor.fetchall()]


def _load(connection: Connection, token: UUID, taken: Sequence[ClaimedShard]) -> Claim | None:
    if not taken:
        return None
    shards = {shard.id: shard for shard in sorted(taken, key=attrgetter("priority", "vkey", "id"))}
    reading, jobs_of = (database.cursor(connection, binary=True) for _ in range(2))
    reading.execute(_ITEMS, {"ids": list(shards)})
    jobs_of.execute(_JOBS, {"ids": list({shard.job_id for shard in taken})})
    items = list(map(_as_item, reading.fetchall()))
    jobs = {row[0]: ClaimedJob(*row) for row in jobs_of.fetchall()}
    return Claim(token, jobs, shards, items)


def claim_condemned(connection: Connection, token: UUID, *, max_deaths: int, lease_seconds: float) -> Claim | None:
    """Takes single items over which ``max_deaths`` workers died: they are to be settled as errors, not run."""
    cursor = database.cursor(connection)
    cursor.execute(_CLAIM_CONDEMNED, {"token": token, "max_deaths": max_deaths, "lease": lease_seconds})
    return _load(connection, token, [ClaimedShard(*row) for row in cursor.fetchall()])


# A ``ClaimedShard``.
_TAKEN = "id, job_id, deaths, attempts, bucket, priority, vkey, hi - lo, n_tokens"

_LEASE = """
state = 'leased', token = %(token)s, deaths = deaths + 1, lease_until = now() + make_interval(secs => %(lease)s)
"""

# The head by (priority, vkey) picks the bucket, which is filled from the head onward in the same order. No lock is
# waited for: a worker that loses a race takes what is left. Only what is taken is locked, so that another worker never
# finds a queue empty that is not; the head is locked first, so that it never comes away with nothing. A head that a
# worker died over is taken alone, and such shards fill nobody's claim. One that somebody waits for is filled up to a
# batch: all of a claim is made ready before its first batch runs. ARRAY(…) keeps the planner from joining with all
# shards.
_CLAIM = f"""
WITH head AS MATERIALIZED (
  SELECT bucket, priority, vkey, id, deaths FROM shards
  WHERE pool = %(pool)s AND state = 'ready' AND hi > lo AND priority <= %(least)s AND not_before <= now()
    AND deaths <= %(most_deaths)s
  ORDER BY priority, vkey, id LIMIT 1 FOR UPDATE SKIP LOCKED
), waiting AS (
  SELECT id, priority, vkey, n_tokens, hi - lo AS n_items FROM shards
  WHERE pool = %(pool)s AND bucket = (SELECT bucket FROM head) AND state = 'ready' AND not_before <= now()
    AND (priority, vkey, id) >= (SELECT priority, vkey, id FROM head)
    AND (deaths = 0 OR id = (SELECT id FROM head))
  ORDER BY priority, vkey, id LIMIT CASE WHEN (SELECT deaths FROM head) > 0 THEN 1 ELSE %(shards)s END
), filled AS (
  SELECT id, sum(n_tokens) OVER queue AS tokens, sum(n_items) OVER queue AS items, row_number() OVER queue AS place
  FROM waiting WINDOW queue AS (ORDER BY priority, vkey, id)
), taken AS (
  SELECT id FROM shards
  WHERE id = ANY(ARRAY(
      SELECT id FROM filled
      WHERE CASE WHEN (SELECT priority FROM head) = %(urgent)s
                 THEN tokens <= %(urgent_tokens)s AND items <= %(urgent_items)s
                 ELSE tokens <= %(tokens)s AND items <= %(items)s END OR place = 1
    )) AND state = 'ready'
  FOR UPDATE SKIP LOCKED
)
UPDATE shards SET {_LEASE} WHERE id = ANY(ARRAY(SELECT id FROM taken)) RETURNING {_TAKEN}
"""  # noqa: S608 — of constants, like the others here

# When its bucket runs dry a batch is filled from those beside it, the nearest first and up to four times as long or
# short: a little padding costs less than a batch of few rows.
_CLAIM_NEAR = f"""
WITH waiting AS (
  SELECT shard.*, near.rank FROM unnest(ARRAY[0, -1, 1, -2, 2, -3, 3, -4, 4]) WITH ORDINALITY AS near (step, rank)
  CROSS JOIN LATERAL (
    SELECT id, priority, vkey, n_tokens, hi - lo AS n_items FROM shards
    WHERE pool = %(pool)s AND bucket = (%(bucket)s + near.step)::smallint AND state = 'ready' AND not_before <= now()
      AND deaths = 0
    ORDER BY priority, vkey, id LIMIT %(shards)s
  ) shard
), filled AS (
  SELECT id, sum(n_tokens) OVER queue AS tokens, sum(n_items) OVER queue AS items FROM waiting
  WINDOW queue AS (ORDER BY rank, priority, vkey, id)
), taken AS (
  SELECT id FROM shards
  WHERE id = ANY(ARRAY(SELECT id FROM filled WHERE tokens <= %(tokens)s AND items <= %(items)s)) AND state = 'ready'
  FOR UPDATE SKIP LOCKED
)
UPDATE shards SET {_LEASE} WHERE id = ANY(ARRAY(SELECT id FROM taken)) RETURNING {_TAKEN}
"""  # noqa: S608

_IS_WAITED_FOR = """
SELECT EXISTS (SELECT FROM shards WHERE pool = %(pool)s AND state = 'ready' AND hi > lo AND priority = %(urgent)s
                 AND not_before <= now() AND deaths = 0)
"""

_CLAIM_CONDEMNED = f"""
UPDATE shards SET token = %(token)s, lease_until = now() + make_interval(secs => %(lease)s)
WHERE id = ANY(ARRAY(SELECT id FROM shards
                     WHERE state = 'leased' AND lease_until < now() AND deaths >= %(max_deaths)s AND hi - lo = 1
                     ORDER BY lease_until LIMIT 16 FOR UPDATE SKIP LOCKED))
RETURNING {_TAKEN}
"""  # noqa: S608

# OFFSET 0 keeps the planner from turning a range scan a shard into one join over all items of the jobs.
_ITEMS = """
SELECT shards.id, item.index, item.n_tokens, item.payload
FROM shards CROSS JOIN LATERAL (
  SELECT index, n_tokens, payload FROM items
  WHERE items.job_id = shards.job_id AND items.pos >= shards.lo AND items.pos < shards.hi OFFSET 0
) item
WHERE shards.id = ANY(%(ids)s)
"""

_JOBS = "SELECT id, tenant_id, kind, model, params, deduplicate FROM jobs WHERE id = ANY(%(ids)s)"
