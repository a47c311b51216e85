"""Writes results behind the fence of a lease, and ends a job with its last shard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger import binary_copy, job_end, tally
from lengthwise.ledger.queue import lease
from lengthwise.ledger.webhooks import event, push
from lengthwise.states import JobState, ResultStatus


class ItemResult(NamedTuple):
    """How one item ended."""

    index: int  # type: ignore[assignment]  # hides the method of tuples, which is not used here
    status: ResultStatus
    #: The NDJSON line that the caller downloads, newline included.
    line: bytes


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

    @property
    def n_failed(self) -> int:
        return sum(result.status is ResultStatus.FAILED for result in self.results)

    @property
    def n_bytes(self) -> int:
        """Bytes of the lines of items that succeeded."""
        return sum(len(result.line) for result in self.results if result.status is not ResultStatus.FAILED)

    @property
    def n_failed_bytes(self) -> int:
        """Bytes of the lines of items that failed."""
        return sum(len(result.line) for result in self.results if result.status is ResultStatus.FAILED)


def settle(connection: Connection, token: UUID, settlements: Sequence[Settlement]) -> frozenset[int]:
    """Fences the shards, then writes their results. A job without another open shard ends in the same transaction.

    Returns the shards whose results were written. The others' leases were lost, and nothing was written for them.
    """
    stores = sorted({done.store for done in settlements})
    if len(stores) > 1:  # what follows locks the shards of one store after the other
        ids = [done.shard_id for done in settlements]
        database.cursor(connection).execute(_LOCK, {"token": token, "ids": ids})
    job_of: dict[int, UUID] = {}
    for store in stores:
        job_of |= _settle(connection, token, store, [done for done in settlements if done.store == store])
    if job_of:
        complete_jobs(connection, set(job_of.values()))
    return frozenset(job_of)


def _settle(connection: Connection, token: UUID, store: int, settlements: Sequence[Settlement]) -> dict[int, UUID]:
    """The same for shards of one store. Returns the job of each shard whose results were written."""
    cursor = database.cursor(connection)
    cursor.execute(
        _FENCE,
        {
            "token": token,
            "ids": [done.shard_id for done in settlements],
            "failed": [done.n_failed for done in settlements],
            "output": [done.n_output for done in settlements],
            "padded": [done.n_padded for done in settlements],
            "batches": [done.n_batches for done in settlements],
            "deduplicated": [done.n_deduplicated for done in settlements],
            "used_input": [done.used_input for done in settlements],
            "used_output": [done.used_output for done in settlements],
            "bytes": [done.n_bytes for done in settlements],
            "failed_bytes": [done.n_failed_bytes for done in settlements],
            "warned": [to_json(done.n_warned).decode() if done.n_warned else None for done in settlements],
        },
    )
    fenced = cursor.fetchall()
    if not fenced:
        return {}
    job_of = {shard_id: job_id for shard_id, job_id, *_ in fenced}
    rows = (
        (job_of[done.shard_id], *result) for done in settlements if done.shard_id in job_of for result in done.results
    )
    binary_copy.copy(cursor, binary_copy.COPY_RESULTS[store], binary_copy.result_blocks(rows))
    followed = [(job_id, lo, hi) for _, job_id, is_followed, lo, hi in fenced if is_followed]
    if followed:
        push.note_settled(connection, followed)
    return job_of


def complete_jobs(connection: Connection, job_ids: Iterable[UUID]) -> None:
    """Ends those of the jobs that have no open shard left.

    A job with a ready shard cannot end now. Any other job may: its row is locked first, so that of two workers that
    settle its last two shards, the second sees what the first has written.
    """
    cursor = database.cursor(connection)
    cursor.execute(_LOCK_NEARLY_DONE, {"jobs": list(job_ids)})
    locked = [row[0] for row in cursor.fetchall()]
    if not locked:
        return
    cursor.execute(_COMPLETE, {"jobs": locked, "state": JobState.COMPLETED})
    event.announce_end(connection, [row[0] for row in cursor.fetchall()])


_LOCK = f"SELECT count(*) FROM ({lease.STILL_HELD} ORDER BY id FOR UPDATE) locked"  # noqa: S608 - built from constants

# Shards are locked in order of id, as everywhere. A worker whose lease was lost gets no row, and so writes no result.
_FENCE = f"""
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
), {tally.ADD}
SELECT id, job_id, is_followed, lo, hi FROM settled
"""  # noqa: S608 - built from constants

_LOCK_NEARLY_DONE = """
SELECT id FROM jobs
WHERE id = ANY(%(jobs)s) AND state = 'open'
  AND NOT EXISTS (SELECT FROM shards WHERE shards.job_id = jobs.id AND shards.state = 'ready')
ORDER BY id FOR UPDATE
"""

_COMPLETE = f"""
UPDATE jobs SET state = %(state)s, finished_at = clock_timestamp()
WHERE id = ANY(%(jobs)s) AND state = 'open'
  AND NOT EXISTS (SELECT FROM shards WHERE shards.job_id = jobs.id AND shards.state IN ('ready', 'leased'))
RETURNING id, {job_end.NOTIFY}
"""  # noqa: S608
