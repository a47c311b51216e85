"""Writes results behind the fence of a lease, and ends a job with its last shard.

In a pipeline, a settlement takes one round trip, and another one if a job ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor
from pydantic_core import to_json
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger import binary_array, job_end, tally
from lengthwise.ledger.queue import lease
from lengthwise.ledger.store import by_store
from lengthwise.ledger.webhooks import event, push
from lengthwise.states import JobState, ResultStatus


class ItemResult(NamedTuple):
    """How one item ended."""

    index: int  # type: ignore[assignment]  # hides the method of tuples, which is not used here
    status: ResultStatus
    #: The NDJSON line that the caller downloads, newline included.
    line: bytes


class ResultCounts(NamedTuple):
    """Items that failed, bytes of the lines of those that succeeded, and bytes of the lines of those that failed."""

    n_failed: int
    n_bytes: int
    n_failed_bytes: int


_index, _status, _line = map(itemgetter, range(3))


@dataclass(frozen=True, slots=True)
class Settlement:
    """One finished shard: a result for each of its items, and what it cost."""

    shard_id: int
    #: That of the claimed shard: which tables take the results.
    store: int
    results: Sequence[ItemResult]
    #: Output tokens, input tokens with padding, and the shard's share of engine batches.
    n_output: int
    n_padded: int
    n_batches: float
    #: Items that were answered by the computation of an identical item.
    n_deduplicated: int = 0
    #: Input and output tokens as the result lines state them: failed items count nothing, and each of several identical
    #: items counts in full.
    used_input: int = 0
    used_output: int = 0
    #: Items that succeeded with a warning, by its code.
    n_warned: Mapping[str, int] = field(default_factory=dict)
    #: Items that failed, by the code of their error; and whose items these are, for the metrics.
    n_errors: Mapping[str, int] = field(default_factory=dict)
    kind: str = ""
    model: str = ""
    tenant_id: UUID | None = None

    @property
    def counts(self) -> ResultCounts:
        # Only C functions are called, because there is a call for each item.
        failed = [result for result in self.results if result[1] is ResultStatus.FAILED]
        n_failed_bytes = sum(map(len, map(_line, failed)))
        return ResultCounts(len(failed), sum(map(len, map(_line, self.results))) - n_failed_bytes, n_failed_bytes)


class CompletedJob(NamedTuple):
    """A job that ended because all of its items have their results, and its margin (see ``job_end``)."""

    id: UUID
    #: None if it has no deadline.
    margin: float | None


class SettledShards(NamedTuple):
    """The shards whose results were written, and the jobs that ended with them."""

    ids: frozenset[int]
    ended: list[CompletedJob]


def settle(connection: Connection, token: UUID, settlements: Sequence[Settlement]) -> SettledShards:
    """Fences the shards, then writes their results. A job without another open shard ends in the same transaction.

    The leases of shards that are not in the answer were lost, and nothing was written for them.
    """
    cursors = _write(connection, token, settlements)
    ended = complete_jobs(connection, shard_ids=[done.shard_id for done in settlements])
    fenced = [row for cursor in cursors for row in cursor.fetchall()]
    followed = [(job_id, lo, hi) for _, job_id, is_followed, lo, hi in fenced if is_followed]
    if followed:
        push.note_settled(connection, followed)
    return SettledShards(frozenset(shard_id for shard_id, *_ in fenced), ended)


def _write(connection: Connection, token: UUID, settlements: Sequence[Settlement]) -> list[Cursor[Any]]:
    """Sends a statement for each store. Their rows are the shards that passed the fence."""
    stores = sorted({done.store for done in settlements})
    cursors = [database.cursor(connection) for _ in stores]
    if len(stores) > 1:  # because each statement locks the shards of one store
        values = {"token": token, "ids": [done.shard_id for done in settlements]}
        database.cursor(connection).execute(_LOCK, values)
    for store, cursor in zip(stores, cursors, strict=True):
        cursor.execute(_SETTLE[store], _values(token, [done for done in settlements if done.store == store]))
    return cursors


def _values(token: UUID, settlements: Sequence[Settlement]) -> dict[str, Any]:
    shards = chain.from_iterable(repeat(done.shard_id, len(done.results)) for done in settlements)
    results = list(chain.from_iterable(done.results for done in settlements))
    counts = [done.counts for done in settlements]
    return {
        "token": token,
        "ids": [done.shard_id for done in settlements],
        "failed": [each.n_failed for each in counts],
        "output": [done.n_output for done in settlements],
        "padded": [done.n_padded for done in settlements],
        "batches": [done.n_batches for done in settlements],
        "deduplicated": [done.n_deduplicated for done in settlements],
        "used_input": [done.used_input for done in settlements],
        "used_output": [done.used_output for done in settlements],
        "bytes": [each.n_bytes for each in counts],
        "failed_bytes": [each.n_failed_bytes for each in counts],
        "warned": [to_json(done.n_warned).decode() if done.n_warned else None for done in settlements],
        "shards": binary_array.of_integers(shards),
        "indexes": binary_array.of_integers(map(_index, results)),
        "statuses": binary_array.of_texts(map(_status, results)),
        "lines": binary_array.of_bytes(map(_line, results)),
    }


def complete_jobs(
    connection: Connection, job_ids: Iterable[UUID] = (), shard_ids: Iterable[int] = ()
) -> list[CompletedJob]:
    """Ends those of the jobs, given by their ids or by shards of theirs, that have no open shard left. Returns these.

    A job with a ready shard cannot end now. Any other job may: its row is locked first, so that of two workers that
    settle its last two shards, the second sees what the first has written.
    """
    which = {"jobs": list(job_ids), "shards": list(shard_ids), "state": JobState.COMPLETED}
    locking, ending = database.cursor(connection), database.cursor(connection)
    locking.execute(_LOCK_NEARLY_DONE, which)
    ending.execute(_COMPLETE, which)
    ended = [CompletedJob(job_id, margin) for job_id, _, margin in ending.fetchall()]
    if ended:
        event.announce_end(connection, [job.id for job in ended])
    return ended


_LOCK = f"SELECT count(*) FROM ({lease.STILL_HELD} ORDER BY id FOR UPDATE) locked"  # noqa: S608

# Shards are locked in order of id, as everywhere. A worker whose lease was lost gets no row, and so writes no result.
_SETTLE = by_store(f"""
WITH held AS MATERIALIZED ({lease.STILL_HELD} ORDER BY id FOR UPDATE), settled AS (
UPDATE shards SET state = 'done', settled_at = clock_timestamp(), lease_until = NULL, n_failed = done.failed,
                  n_output = done.output, n_padded = done.padded, n_batches = done.batches,
                  n_deduplicated = done.deduplicated, used_input = done.used_input, used_output = done.used_output,
                  n_bytes = done.bytes, n_failed_bytes = done.failed_bytes,
                  n_warned = done.warned::jsonb, is_tallied = CASE WHEN is_tallied IS NOT NULL THEN true END
FROM unnest(%(ids)s::bigint[], %(failed)s::int[], %(output)s::bigint[], %(padded)s::bigint[], %(batches)s::float8[],
            %(deduplicated)s::int[], %(used_input)s::bigint[], %(used_output)s::bigint[], %(bytes)s::bigint[],
            %(failed_bytes)s::bigint[], %(warned)s::text[])
  AS done (id, failed, output, padded, batches, deduplicated, used_input, used_output, bytes, failed_bytes, warned)
WHERE shards.id = done.id AND shards.id = ANY(ARRAY(SELECT id FROM held))
RETURNING shards.*
), {tally.ADD}, written AS (
INSERT INTO {{results}} (job_id, index, status, result)
SELECT settled.job_id, row.index::int, row.status, row.line
FROM unnest(%(shards)s::bigint[], %(indexes)s::bigint[], %(statuses)s::text[], %(lines)s::bytea[])
       AS row (shard_id, index, status, line) JOIN settled ON settled.id = row.shard_id
)
SELECT id, job_id, is_followed, lo, hi FROM settled
""")  # noqa: S608 - built from constants

_JOBS = "%(jobs)s::uuid[] || ARRAY(SELECT job_id FROM shards WHERE id = ANY(%(shards)s::bigint[]))"

_LOCK_NEARLY_DONE = f"""
SELECT id FROM jobs
WHERE id = ANY({_JOBS}) AND state = 'open'
  AND NOT EXISTS (SELECT FROM shards WHERE shards.job_id = jobs.id AND shards.state = 'ready')
ORDER BY id FOR UPDATE
"""  # noqa: S608

_COMPLETE = f"""
UPDATE jobs SET state = %(state)s, finished_at = clock_timestamp()
WHERE id = ANY({_JOBS}) AND state = 'open'
  AND NOT EXISTS (SELECT FROM shards WHERE shards.job_id = jobs.id AND shards.state IN ('ready', 'leased'))
RETURNING id, {job_end.NOTIFY}, {job_end.MARGIN}
"""  # noqa: S608
