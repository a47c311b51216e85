"""Writes a job while its items arrive, in one transaction. Memory holds one chunk of items."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from lengthwise import bells, database
from lengthwise.ledger import binary_copy, tally
from lengthwise.ledger import store as stores
from lengthwise.ledger.jobs.idempotency import IdempotencyKey
from lengthwise.ledger.queue import fair_queue, pending
from lengthwise.ledger.webhooks import push, sealed_secret
from lengthwise.sharding import ArrivalOrder, Shard, cut, start_tags
from lengthwise.states import JobState, Priority, ResultStatus, ShardState


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is about to be written."""

    id: UUID
    tenant_id: UUID
    kind: str
    model: str
    params: dict[str, Any]
    #: Which items may share an engine batch (``lengthwise.kinds.pool``). Items that name no pool have this one.
    pool: str
    priority: Priority = Priority.NORMAL
    deadline_at: datetime | None = None
    #: Or its deadline in seconds from now, by the database's clock.
    deadline_seconds: float | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None
    deduplicate: bool = True
    #: The request's idempotency key, if its caller gave one.
    named: IdempotencyKey | None = None
    retry_of: UUID | None = None
    #: The API key that made it, and how many jobs its tenant may have open at a time.
    key_id: UUID | None = None
    max_open_jobs: int | None = None
    #: What the table was of which its items are rows (``lengthwise.formats.source.SourceTable``).
    source: dict[str, Any] | None = None
    #: What is known of its size before its items are read: how many they are, and the bytes in which they were sent.
    sent_items: int = 0
    sent_bytes: int = 0
    #: What its caller calls it, and the name of the file that it was.
    name: str | None = None
    tags: Sequence[str] = ()
    source_file: str | None = None
    #: The W3C traceparent of its submission.
    trace: str | None = None


class NewItem(NamedTuple):
    """One item, ready to be stored."""

    n_tokens: int
    payload: bytes
    #: The result line of an item that is known to fail already.
    refusal: bytes | None = None
    #: Tokens of each sequence that the engine computes, if the item has more than one.
    lengths: Sequence[int] = ()
    #: Its own pool, if that is not the job's; then it is a key of ``Submission.arrivals``.
    pool: str | None = None


@dataclass(slots=True)
class _Chunk:
    """Items in the caller's order, stored by column: ten thousand objects would be slow to garbage-collect."""

    n_tokens: list[int] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    n_bytes: int = 0
    #: By the item's position in the chunk: results of items that fail already, and pools that are not the job's.
    refusals: dict[int, bytes] = field(default_factory=dict)
    pools: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.payloads)


@dataclass
class Submission:
    """A job that is being written. ``add`` items in the caller's order, call ``finish``, then commit.

    An item's position and its index are in the same chunk of ``chunk_items``. A chunk of more than ``chunk_bytes`` is
    sorted and written in several parts, so that memory does not grow with long items.
    """

    connection: Connection
    job: NewJob
    arrival: ArrivalOrder
    shard_items: int = 64
    chunk_items: int = 10_000
    chunk_bytes: int = 16 * 2**20
    #: A job of so many items gets a store of its own, if one is free.
    large_items: int = 100_000
    #: By pool, for pools other than the job's.
    arrivals: dict[str, ArrivalOrder] = field(default_factory=dict)
    n_items: int = 0
    n_refused: int = 0
    #: Of the items that were not refused.
    n_tokens: int = 0
    #: Where its items and results are, from the first chunk on.
    store: int = stores.SHARED
    _begun_at: float = field(default_factory=time.monotonic)
    _chunk: _Chunk = field(default_factory=_Chunk)
    #: By pool.
    _shards: dict[str, list[Shard]] = field(default_factory=dict)
    _refused: list[Shard] = field(default_factory=list)
    _refused_bytes: list[int] = field(default_factory=list)

    def add(self, items: Sequence[NewItem]) -> None:
        """Takes items, and writes them whenever a chunk is full."""
        while items:
            chunk = self._chunk
            room = self.chunk_items - (self.n_items + len(chunk)) % self.chunk_items
            taken = items[:room]
            refusals = {at: item.refusal for at, item in enumerate(taken, len(chunk)) if item.refusal is not None}
            chunk.refusals |= refusals
            chunk.n_tokens += [item.n_tokens for item in taken]
            runnable = [item for item in taken if item.refusal is None] if refusals else taken
            if self.arrivals:
                chunk.pools |= {at: item.pool for at, item in enumerate(taken, len(chunk)) if item.pool is not None}
                for item in runnable:
                    self._arrival_of(item.pool or self.job.pool).add(item.lengths or (item.n_tokens,))
            else:
                self.arrival.add(chain.from_iterable([item.lengths or (item.n_tokens,) for item in runnable]))
            chunk.payloads += [item.payload for item in taken]
            chunk.n_bytes += sum(len(item.payload) for item in taken)
            if len(taken) == room or chunk.n_bytes >= self.chunk_bytes:
                self._write()
            items = items[len(taken) :]

    def finish(self) -> None:
        """Writes the remaining items, the shards and the job.

        Raises ``TooBusy`` if its tenant has too many open jobs.
        """
        if self.n_items + len(self._chunk) > _FEW_ITEMS or self._chunk.refusals:
            if (took := time.monotonic() - self._begun_at) > _LONG_SECONDS:
                # What took long is not refused because another large job of the tenant is being completed.
                fair_queue.wait_for_turn(self.connection, self.job.tenant_id, took)
            self._finish()
        else:
            with database.pipelined(self.connection):
                self._finish()

    def _finish(self) -> None:
        if len(self._chunk):
            self._write()
        self._write_shards()
        if self._refused:
            push.note_refused(self.connection, self.job.id)
        if self.job.max_open_jobs is not None:
            # The tenant is locked by now, so that no other job of it can open before this one.
            pending.check_open_job_limit(self.connection, self.job.tenant_id, self.job.max_open_jobs)
        self._write_job()

    def _write(self) -> None:
        chunk, first = self._chunk, self.n_items
        self._chunk = _Chunk()
        if first == 0 and self._is_large(chunk):
            self.store = stores.take(self.connection, self.job.id)
        runnable = [at for at in range(len(chunk)) if at not in chunk.refusals]
        placed: list[int] = []
        for pool, same in _by_pool(runnable, chunk.pools, self.job.pool):
            lengths, start = [chunk.n_tokens[at] for at in same], first + len(placed)
            order, shards = cut(lengths, start, self.shard_items, self._arrival_of(pool).batch_tokens)
            placed += [same[at] for at in order]
            self._shards.setdefault(pool, []).extend(shards)
            self.n_tokens += sum(shard.n_tokens for shard in shards)
        in_order = enumerate(chain(placed, chunk.refusals), first)
        self._write_items([(pos, first + at, chunk.n_tokens[at], chunk.payloads[at]) for pos, at in in_order])
        if chunk.refusals:
            self._refuse(chunk.refusals, first, first + len(runnable))
        self.n_items += len(chunk)

    def _is_large(self, chunk: _Chunk) -> bool:
        """Estimates how many items there will be from the first chunk. Postgres cuts what is long into further rows."""
        row_bytes = min(max(1, chunk.n_bytes // len(chunk)), ROW_BYTES)
        n_items = max(len(chunk), self.job.sent_items, self.job.sent_bytes // row_bytes)
        return n_items >= self.large_items

    def _arrival_of(self, pool: str) -> ArrivalOrder:
        return self.arrival if pool == self.job.pool else self.arrivals[pool]

    def _write_items(self, rows: list[tuple[int, int, int, bytes]]) -> None:
        cursor = database.cursor(self.connection)
        if len(rows) > _FEW_ITEMS:
            binary_copy.copy(cursor, binary_copy.COPY_ITEMS[self.store], binary_copy.item_blocks(self.job.id, rows))
            return
        positions, indexes, tokens, payloads = map(list, zip(*rows, strict=True))
        cursor.execute(
            _INSERT_ITEMS[self.store],
            {"job": self.job.id, "positions": positions, "indexes": indexes, "tokens": tokens, "payloads": payloads},
        )

    def _refuse(self, refusals: dict[int, bytes], first: int, lo: int) -> None:
        rows = ((self.job.id, first + at, ResultStatus.FAILED, line) for at, line in refusals.items())
        cursor = database.cursor(self.connection)
        binary_copy.copy(cursor, binary_copy.COPY_RESULTS[self.store], binary_copy.result_blocks(rows))
        self._refused.append(Shard(lo, lo + len(refusals), 0, 0))
        self._refused_bytes.append(sum(map(len, refusals.values())))
        self.n_refused += len(refusals)

    @property
    def _is_tallied(self) -> bool:
        return len(self._refused) + sum(map(len, self._shards.values())) > tally.MANY_SHARDS

    def _write_shards(self) -> None:
        cursor = database.cursor(self.connection)
        # Pools are always taken in the same order, because two submissions may lock the same queues.
        for pool in sorted(self._shards):
            shards = self._shards[pool]
            queue = fair_queue.TenantQueue(pool, int(self.job.priority), self.job.tenant_id)
            tags = start_tags(shards, *fair_queue.lock_start(self.connection, queue))
            fair_queue.set_last_finish(cursor, queue, tags[-1])
            for at in range(0, len(shards), _STATEMENT_SHARDS):
                part = shards[at : at + _STATEMENT_SHARDS]
                self._insert(cursor, pool, part, tags[at : at + len(part)], ShardState.READY)
            n_items = sum(shard.hi - shard.lo for shard in shards)
            bells.note(self.connection, bells.GENERATE, pool, times=1 + n_items // (_BELL_SHARDS * self.shard_items))
        if self._refused:
            self._insert(cursor, self.job.pool, self._refused, [0.0] * len(self._refused), ShardState.DONE)

    def _insert(
        self, cursor: Cursor[Any], pool: str, shards: Sequence[Shard], tags: Sequence[float], state: ShardState
    ) -> None:
        is_refused = state is ShardState.DONE
        cursor.execute(
            _INSERT_SHARDS,
            {
                "job": self.job.id,
                "pool": pool,
                "priority": int(self.job.priority),
                "state": state,
                "buckets": [shard.bucket for shard in shards],
                "los": [shard.lo for shard in shards],
                "his": [shard.hi for shard in shards],
                "tokens": [shard.n_tokens for shard in shards],
                "tags": tags,
                "failed": [shard.hi - shard.lo if is_refused else 0 for shard in shards],
                "failed_bytes": self._refused_bytes if is_refused else [0] * len(shards),
                "tenant": self.job.tenant_id,
                "is_tallied": False if self._is_tallied else None,
                "store": self.store,
            },
        )

    def _write_job(self) -> None:
        job = self.job
        database.cursor(self.connection).execute(
            _INSERT_JOB,
            {
                "id": job.id,
                "tenant": job.tenant_id,
                "kind": job.kind,
                "model": job.model,
                "params": Jsonb(job.params),
                "priority": int(job.priority),
                "state": JobState.OPEN,
                "n_items": self.n_items,
                "n_tokens": self.n_tokens,
                "n_arrival_padded": sum(each.padded for each in ({job.pool: self.arrival} | self.arrivals).values()),
                "chunk_items": self.chunk_items,
                "webhook_url": job.webhook_url,
                "webhook_secret": job.webhook_secret and sealed_secret.seal_for_job(job.id, job.webhook_secret),
                "deadline_at": job.deadline_at,
                "deadline_seconds": job.deadline_seconds,
                "deduplicate": job.deduplicate,
                "key": job.named and job.named.key,
                "hash": job.named and job.named.request_hash,
                "retry_of": job.retry_of,
                "key_id": job.key_id,
                "source": job.source and Jsonb(job.source),
                "is_tallied": self._is_tallied,
                "store": self.store,
                "name": job.name,
                "tags": list(job.tags) or None,
                "source_file": job.source_file,
                "trace": job.trace,
            },
        )


def _by_pool(places: list[int], pools: Mapping[int, str], default: str) -> Iterable[tuple[str, list[int]]]:
    """The positions of each pool's items, in order."""
    if not pools:
        return [(default, places)] if places else []
    found: dict[str, list[int]] = {}
    for at in places:
        found.setdefault(pools.get(at, default), []).append(at)
    return found.items()


#: A large job wakes one more worker for every so many full shards.
_BELL_SHARDS = 8

#: Shards that one statement writes: a job of a million items may have 300,000, and no statement may take a minute.
_STATEMENT_SHARDS = 10_000

#: A submission that took longer waits for its tenant's lock for as long as it took.
_LONG_SECONDS = 3.0

#: For so few rows an INSERT is quicker: a COPY takes two round trips and is planned each time.
_FEW_ITEMS = 16

#: Postgres cuts a value into pieces of this many bytes, each a row of its own, if its row would be longer than that.
ROW_BYTES = 2000

_INSERT_ITEMS = stores.by_store("""
INSERT INTO {items} (job_id, pos, index, n_tokens, payload)
SELECT %(job)s, * FROM unnest(%(positions)s::int[], %(indexes)s::int[], %(tokens)s::int[], %(payloads)b::bytea[])
""")

_INSERT_SHARDS = f"""
INSERT INTO shards (job_id, pool, priority, state, is_tallied, store, is_followed, bucket, lo, hi, n_tokens, vkey,
                    n_failed, n_failed_bytes)
SELECT %(job)s, %(pool)s, %(priority)s, %(state)s, %(is_tallied)s, %(store)s, EXISTS ({push.FOLLOWERS}), *
FROM unnest(%(buckets)s::smallint[], %(los)s::int[], %(his)s::int[], %(tokens)s::int[], %(tags)s::float8[],
            %(failed)s::int[], %(failed_bytes)s::bigint[])
"""  # noqa: S608 - built from a constant, like the next one

_INSERT_JOB = f"""
WITH job AS (
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded,
                  chunk_items, webhook_url, webhook_secret, deadline_at, deduplicate, idempotency_key, request_hash,
                  retry_of, key_id, usage_due, followers, source, is_tallied, store, name, tags, source_file,
                  trace)
VALUES (%(id)s, %(tenant)s, %(kind)s, %(model)s, %(params)s, %(priority)s, %(state)s, %(n_items)s, %(n_tokens)s,
        %(n_arrival_padded)s, %(chunk_items)s, %(webhook_url)s, %(webhook_secret)s,
        coalesce(%(deadline_at)s, now() + make_interval(secs => %(deadline_seconds)s)), %(deduplicate)s,
        %(key)s, %(hash)s, %(retry_of)s, %(key_id)s, %(key_id)s::uuid IS NOT NULL,
        NULLIF(ARRAY({push.FOLLOWERS}), '{{}}'), %(source)s, %(is_tallied)s, %(store)s, %(name)s, %(tags)s::text[],
        %(source_file)s, %(trace)s)
RETURNING id, tenant_id, created_at
)
INSERT INTO job_tags (tenant_id, tag, created_at, job_id)
SELECT tenant_id, tag, created_at, id FROM job CROSS JOIN unnest(%(tags)s::text[]) AS given (tag)
"""  # noqa: S608
