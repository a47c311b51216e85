"""Writes results behind the fence of a lease, and ends a job with its last shard."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger import event
from lengthwise.states import JobState, ResultStatus


@dataclass(frozen=True, slots=True)
class Result:
    index: int
    status: ResultStatus
    #: The NDJSON line that the caller downloads, newline included.
    line: bytes


@dataclass(frozen=True, slots=True)
class Settlement:
    """One finished shard: a result for each of its items, and what it cost."""

    shard_id: int
    results: Sequence[Result]
    #: Tokens generated, input tokens computed with padding, and the shard's share of engine batches.
    n_output: int
    n_padded: int
    n_batches: float

    @property
    def n_failed(self) -> int:
        return sum(result.status is ResultStatus.FAILED for result in self.results)


@dataclass(frozen=True, slots=True)
class Settled:
    #: Shards whose results were written; the others' leases were lost and nothing was written for them.
    shard_ids: frozenset[int]
    #: Whether a webhook became due.
    delivery_due: bool


def settle(connection: Connection, token: UUID, settlements: Sequence[Settlement]) -> Settled:
    """Fences and writes in one statement; a job whose last shard this was ends in the same transaction."""
    rows = [(done.shard_id, result) for done in settlements for result in done.results]
    cursor = database.cursor(connection)
    cursor.execute(
        _SETTLE,
        {
            "token": token,
            "shards": [done.shard_id for done in settlements],
            "failed": [done.n_failed for done in settlements],
            "output": [done.n_output for done in settlements],
            "padded": [done.n_padded for done in settlements],
            "batches": [done.n_batches for done in settlements],
            "of": [shard_id for shard_id, _ in rows],
            "indexes": [result.index for _, result in rows],
            "statuses": [result.status for _, result in rows],
            "lines": [result.line for _, result in rows],
        },
    )
    fenced = cursor.fetchall()
    due = complete(connection, {job_id for _, job_id in fenced})
    return Settled(frozenset(shard_id for shard_id, _ in fenced), due)


def complete(connection: Connection, job_ids: Iterable[UUID]) -> bool:
    """Ends those of the jobs that have no open shard left. Returns whether a webhook became due.

    A job with a shard still waiting is certainly not at its end. One whose open shards are all leased may be: its row
    is locked first, so that of two workers that settle its last two shards the second sees the first.
    """
    cursor = database.cursor(connection)
    cursor.execute(_LOCK_NEARLY_DONE, {"jobs": list(job_ids)})
    locked = [row[0] for row in cursor.fetchall()]
    if not locked:
        return False
    cursor.execute(_COMPLETE, {"jobs": locked, "state": JobState.COMPLETED})
    return event.announce(connection, [row[0] for row in cursor.fetchall()])


# Shards are locked in order of id, as everywhere. Arrays go in binary (%b): as text, each line would be escaped twice.
_SETTLE = """
WITH held AS (
  SELECT id FROM shards WHERE id = ANY(%(shards)b) AND token = %(token)s AND state = 'leased' ORDER BY id FOR UPDATE
), fence AS (
  UPDATE shards SET state = 'done', settled_at = clock_timestamp(), lease_until = NULL, n_failed = done.failed,
                    n_output = done.output, n_padded = done.padded, n_batches = done.batches
  FROM unnest(%(shards)b::bigint[], %(failed)b::int[], %(output)b::bigint[], %(padded)b::bigint[],
              %(batches)b::float8[])
       AS done (id, failed, output, padded, batches)
  WHERE shards.id = done.id AND shards.id = ANY(ARRAY(SELECT id FROM held))
  RETURNING shards.id, shards.job_id
), written AS (
  INSERT INTO results (job_id, index, status, result)
  SELECT fence.job_id, row.index, row.status, row.line
  FROM unnest(%(of)b::bigint[], %(indexes)b::int[], %(statuses)s::text[], %(lines)b::bytea[])
       AS row (shard_id, index, status, line)
  JOIN fence ON fence.id = row.shard_id
)
SELECT id, job_id FROM fence
"""

_LOCK_NEARLY_DONE = """
SELECT id FROM jobs
WHERE id = ANY(%(jobs)s) AND state = 'open'
  AND NOT EXISTS (SELECT FROM shards WHERE shards.job_id = jobs.id AND shards.state = 'ready')
ORDER BY id FOR UPDATE
"""

_COMPLETE = """
UPDATE jobs SET state = %(state)s, finished_at = clock_timestamp()
WHERE id = ANY(%(jobs)s) AND state = 'open'
  AND NOT EXISTS (SELECT FROM shards WHERE shards.job_id = jobs.id AND shards.state IN ('ready', 'leased'))
RETURNING id
"""
