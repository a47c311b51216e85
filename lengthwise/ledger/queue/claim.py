"""Leases shards of like length, across jobs and tenants, to one worker."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger.store import by_store
from lengthwise.sharding import bucket_of
from lengthwise.states import Priority


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """What a worker needs to know of a job."""

    id: UUID
    tenant_id: UUID
    kind: str
    model: str
    params: dict[str, Any]
    #: Whether identical items may share one computation, where decoding is deterministic.
    deduplicate: bool
    #: Seconds between its submission and this claim.
    waited_seconds: float = 0.0
    #: The W3C trace context of the request that made it, if there was one.
    trace: str | None = None
    #: As its caller chose it. A deadline raises that of its shards alone.
    priority: int = Priority.NORMAL

    @property
    def is_interactive(self) -> bool:
        """Whether its caller waits for it."""
        return self.priority == Priority.INTERACTIVE


class ClaimedItem(NamedTuple):
    """One item of a claimed shard. ``index`` is its position in the caller's order."""

    shard_id: int
    index: int  # type: ignore[assignment]  # hides the method of tuples, which is not used here
    n_tokens: int
    payload: bytes


#: At most so many shards are in one claim.
_MAX_SHARDS = 256
#: More deaths than a shard ever has.
_ANY_DEATHS = 2**15 - 1

#: The same as ``_make``, without a Python call for each row.
_as_item: Callable[[Iterable[Any]], ClaimedItem] = partial(tuple.__new__, ClaimedItem)


@dataclass(frozen=True, slots=True)
class ClaimedShard:
    """A shard that a worker holds under a lease."""

    id: int
    job_id: UUID
    #: Claims whose worker has not reported back, this one included. With more than one it is a suspect: its items may
    #: have killed the earlier workers.
    deaths: int
    #: Failures so far that may pass with time.
    attempts: int
    bucket: int
    priority: int
    vkey: float
    n_items: int
    n_tokens: int
    #: Which tables have its items, and take its results.
    store: int

    @property
    def is_interactive(self) -> bool:
        """Whether a caller is waiting for it."""
        return self.priority == Priority.INTERACTIVE


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker holds. Only the holder of ``token`` may settle it.

    The token is random, so that a worker that was presumed dead cannot settle what another worker has now.
    """

    token: UUID
    jobs: dict[UUID, ClaimedJob]
    #: By id, the most urgent first.
    shards: dict[int, ClaimedShard]
    items: list[ClaimedItem]

    @property
    def is_suspect(self) -> bool:
        """Whether workers have died over one of its shards."""
        return any(shard.deaths > 1 for shard in self.shards.values())

    @property
    def shard_ids(self) -> list[int]:
        return list(self.shards)

    def joined(self, more: "Claim") -> "Claim":
        """This claim and another one under its token."""
        return Claim(self.token, self.jobs | more.jobs, self.shards | more.shards, self.items + more.items)


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """What one claim may hold: at most ``tokens`` input tokens and ``items`` items, or one shard that is larger.

    One engine batch is ``batch_items`` items and their share of the tokens. A claim that holds less goes on in the
    neighbouring buckets. A claim that begins with an interactive shard takes no more than one batch.
    """

    tokens: int
    items: int
    batch_items: int = 0

    @property
    def one_batch(self) -> "ClaimLimits":
        """The limits of one engine batch."""
        return ClaimLimits(self.tokens * self.batch_items // self.items, self.batch_items)

    def missing(self, shards: Collection[ClaimedShard]) -> "ClaimLimits | None":
        """What is missing from these shards to make one batch; None if nothing is."""
        batch = self.one_batch
        tokens = batch.tokens - sum(shard.n_tokens for shard in shards)
        items = batch.items - sum(shard.n_items for shard in shards)
        return ClaimLimits(tokens, items) if min(tokens, items) > 0 else None


#: A claim whose jobs and items are still on their way: it is made when this is called, after the transaction at the
#: latest. In a pipeline, the answers then come with that of COMMIT.
PendingClaim = Callable[[], Claim | None]


def claim(
    connection: Connection,
    pool: str,
    token: UUID,
    limits: ClaimLimits,
    *,
    lease_seconds: float,
    with_suspects: bool = True,
    least: Priority = Priority.BACKGROUND,
    only_short: bool = False,
) -> PendingClaim:
    """Takes the next shard of the fair queue, and fills up from its bucket and the neighbouring ones.

    Shards are taken whole. A shard that goes beyond the limits is left, since it would make a batch of its own. A
    suspect is taken alone; ``with_suspects`` false leaves it, as a worker must that holds other work. Gives None if
    this pool has no shard that is ready and whose priority is ``least`` or more urgent. ``only_short`` leaves shards
    that are larger than one batch.
    """
    cursor = database.cursor(connection)
    _do_not_wait_for_disk(cursor)
    head = {"most_deaths": _ANY_DEATHS if with_suspects else 0, "least": int(least)}
    batch = limits.one_batch if limits.batch_items else limits
    urgent = {"urgent": int(Priority.INTERACTIVE), "urgent_tokens": batch.tokens, "urgent_items": batch.items}
    if only_short:
        head["longest"] = max(0, bucket_of(batch.tokens + 1) - 1)  # the last band of which no item exceeds a batch
    statement = _CLAIM_SHORT if only_short else _CLAIM
    taken = _take(cursor, statement, pool, token, limits, lease_seconds, **head, **urgent)
    return _loading(connection, token, taken + _fill_up(cursor, pool, token, taken, limits, lease_seconds))


def _do_not_wait_for_disk(cursor: Cursor[Any]) -> None:
    """If a crash undoes a claim, its shards are ready again."""
    cursor.execute("SET LOCAL synchronous_commit = off")


def top_up(
    connection: Connection, pool: str, claimed: Claim, limits: ClaimLimits, *, lease_seconds: float
) -> Callable[[], Claim]:
    """Adds shards that became ready since to a claim that holds less than a batch. Gives the whole claim."""
    cursor = database.cursor(connection)
    _do_not_wait_for_disk(cursor)
    held = list(claimed.shards.values())
    pending = _loading(connection, claimed.token, _fill_up(cursor, pool, claimed.token, held, limits, lease_seconds))

    def whole() -> Claim:
        more = pending()
        return claimed if more is None else claimed.joined(more)

    return whole


def _fill_up(
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
    # The statement reads as many shards as it considers. More shards than items are never needed.
    shards = min(limits.items, _MAX_SHARDS)
    cursor.execute(statement, which | {"shards": shards} | more)
    return [ClaimedShard(*row) for row in cursor.fetchall()]


def _loading(connection: Connection, token: UUID, taken: Sequence[ClaimedShard]) -> PendingClaim:
    """Asks for the jobs and items of these shards."""
    if not taken:
        return lambda: None
    shards = {shard.id: shard for shard in sorted(taken, key=attrgetter("priority", "vkey", "id"))}
    stores = sorted({shard.store for shard in taken})
    *items_of, jobs_of = (database.cursor(connection, binary=True) for _ in range(len(stores) + 1))
    for store, reading in zip(stores, items_of, strict=True):
        reading.execute(_ITEMS[store], {"ids": [shard.id for shard in shards.values() if shard.store == store]})
    jobs_of.execute(_JOBS, {"ids": list({shard.job_id for shard in taken})})

    def load() -> Claim:
        items = [item for reading in items_of for item in map(_as_item, reading.fetchall())]
        return Claim(token, {row[0]: ClaimedJob(*row) for row in jobs_of.fetchall()}, shards, items)

    return load


def claim_condemned(connection: Connection, token: UUID, *, max_deaths: int, lease_seconds: float) -> Claim | None:
    """Takes single items over which ``max_deaths`` workers died. They are to be settled as errors, not run."""
    cursor = database.cursor(connection)
    cursor.execute(_CLAIM_CONDEMNED, {"token": token, "max_deaths": max_deaths, "lease": lease_seconds})
    return _loading(connection, token, [ClaimedShard(*row) for row in cursor.fetchall()])()


# The columns of a ``ClaimedShard``.
_TAKEN = "id, job_id, deaths, attempts, bucket, priority, vkey, hi - lo, n_tokens, store"

_LEASE = """
state = 'leased', token = %(token)s, deaths = deaths + 1, lease_until = now() + make_interval(secs => %(lease)s)
"""

# The first shard by (priority, vkey) picks the bucket. The claim is filled from there in the same order.
# - The statement never waits for a lock: a worker that loses a race takes what is left.
# - It locks only what it takes, so that another worker does not find a queue empty that is not. It locks the first
#   shard first, so that it does not return nothing.
# - A suspect is taken alone, and never fills up another claim.
# - An interactive claim is filled up to one batch only, because all of a claim is prepared before its first batch runs.
# - ARRAY(…) keeps the planner from joining with all shards.
_FIRST_OF_ALL = """
  WHERE pool = %(pool)s AND state = 'ready' AND hi > lo AND priority <= %(least)s AND not_before <= now()
    AND deaths <= %(most_deaths)s
  ORDER BY priority, vkey, id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
# The first of those whose items are short: one probe of each bucket, so that long ones before it cost nothing.
_FIRST_OF_SHORT = """
  WHERE state = 'ready' AND id = (
    SELECT short.id FROM generate_series(0, %(longest)s) AS bucket (number) CROSS JOIN LATERAL (
      SELECT priority, vkey, id FROM shards
      WHERE pool = %(pool)s AND bucket = bucket.number::smallint AND state = 'ready' AND hi > lo
        AND priority <= %(least)s AND not_before <= now() AND deaths <= %(most_deaths)s
      ORDER BY priority, vkey, id LIMIT 1
    ) short
    ORDER BY priority, vkey, id LIMIT 1
  ) FOR UPDATE SKIP LOCKED
"""


def _claim(first: str) -> str:
    return f"""
WITH head AS MATERIALIZED (
  SELECT bucket, priority, vkey, id, deaths FROM shards {first}
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
"""  # noqa: S608 - built from constants, like the others here


_CLAIM, _CLAIM_SHORT = _claim(_FIRST_OF_ALL), _claim(_FIRST_OF_SHORT)

# If its bucket has too little, a batch is filled from the neighbouring buckets, the nearest first. Their items are up
# to four times as long or as short. A little padding costs less than a batch of few rows.
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

_CLAIM_CONDEMNED = f"""
UPDATE shards SET token = %(token)s, lease_until = now() + make_interval(secs => %(lease)s)
WHERE id = ANY(ARRAY(SELECT id FROM shards
                     WHERE state = 'leased' AND lease_until < now() AND deaths >= %(max_deaths)s AND hi - lo = 1
                     ORDER BY lease_until LIMIT 16 FOR UPDATE SKIP LOCKED))
RETURNING {_TAKEN}
"""  # noqa: S608

# OFFSET 0 keeps the planner from joining all items of the jobs; it scans one range of items a shard instead.
_ITEMS = by_store("""
SELECT shards.id, item.index, item.n_tokens, item.payload
FROM shards CROSS JOIN LATERAL (
  SELECT index, n_tokens, payload FROM {items}
  WHERE {items}.job_id = shards.job_id AND {items}.pos >= shards.lo AND {items}.pos < shards.hi OFFSET 0
) item
WHERE shards.id = ANY(%(ids)s)
""")

_JOBS = """
SELECT id, tenant_id, kind, model, params, deduplicate, extract(epoch FROM now() - created_at)::float8, trace,
       priority
FROM jobs WHERE id = ANY(%(ids)s)
"""
