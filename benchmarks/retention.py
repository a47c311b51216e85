"""Measures what it costs to remove a job, and shows that the cost does not grow with the size of the tables.

``python -m benchmarks.retention --rows 5000000`` starts its own PostgreSQL and fills it with other jobs' items and
results up to several sizes. At each size it removes one job as the sweep does. After that it drops a partition with as
many rows, for comparison. At the end it deletes two jobs, first from the shared tables and then from tables of their
own. The log of the vacuum that follows is counted too. ``--jobs-only`` measures only these two.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from lengthwise import database, migrate
from lengthwise.database import Database
from lengthwise.ledger import store
from lengthwise.ledger.jobs import retention
from lengthwise.local.embedded import Servers
from lengthwise.tables.store import items_name, results_name

#: Items that the sweep removes in one transaction.
PORTION_ITEMS = 5_000
SHARD_ITEMS = 64
#: Items of one job, and the bytes of a text and of a result line. The bytes are random and do not compress.
JOB_ITEMS = 1_000_000
ITEM_BYTES, LINE_BYTES = 96, 160

_JOB = """
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded,
                  chunk_items, finished_at, deleted_at, store)
VALUES (:job, '00000000-0000-0000-0000-000000000001', 'generate', 'echo', '{}', 1, 'completed', :items, 0, 0, 10000,
        now(), CASE WHEN :deleted THEN now() END, :store)
"""
_ITEMS = """
INSERT INTO {table} SELECT :job, n, n, 24, substring(:noise FROM n % 4000 FOR :width) FROM generate_series(0, :last) n
"""
_RESULTS = """
INSERT INTO {table} SELECT :job, n, 'succeeded', substring(:noise FROM n % 4000 FOR :width)
FROM generate_series(0, :last) n
"""
_SHARDS = """
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state, store)
SELECT :job, 'echo', 3, lo, least(lo + :width, :last + 1), 1536, 1, lo, 'done', :store
FROM generate_series(0, :last, :width) lo
"""


@dataclass(frozen=True, slots=True)
class RemovalCost:
    """The cost of removing one job: rows, seconds in all and in the longest transaction, bytes of write-ahead log."""

    n_rows: int
    seconds: float
    longest: float
    wal_bytes: int

    def line(self, what: str) -> str:
        return (
            f"{what:<34} {self.n_rows:>9,} rows {self.seconds:>7.2f} s {self.n_rows / self.seconds:>12,.0f} rows/s"
            f" {1000 * self.longest:>9,.1f} ms longest {self.wal_bytes / 2**20:>8,.1f} MiB of log"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="items, and as many results, at the largest size")
    parser.add_argument("--jobs-only", action="store_true", help="delete two jobs of a million items, and no more")
    parser.add_argument("--folder", type=Path, help="where to put the data: 500 bytes per row")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lengthwise-retention-", dir=given.folder) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may run as another user
        with Servers(Path(folder) / "data", redis_url="redis://none") as servers:
            assert servers.database_url  # noqa: S101
            migrate.upgrade(servers.database_url)
            engine = database.connect(servers.database_url)
            prepare(engine)
            if not given.jobs_only:
                run(engine, given.rows)
            for is_own in (False, True):
                fill_two(engine, is_own=is_own)
                cost = measured(engine, lambda: deletion(engine))
                print(cost.line(f"two jobs, {'tables of their own' if is_own else 'shared tables'}"), flush=True)
            engine.dispose()


def prepare(engine: Database) -> None:
    """Makes automatic checkpoints rare. Filling is quicker, and each measurement starts after a fresh checkpoint."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for setting in ("max_wal_size = '16GB'", "checkpoint_timeout = '1h'", "autovacuum_naptime = '1min'"):
            connection.execute(text(f"ALTER SYSTEM SET {setting}"))
        connection.execute(text("SELECT pg_reload_conf()"))


def run(engine: Database, rows: int) -> None:
    """Measures with a tenth, a half and all of ``rows`` in the tables, besides the job that is removed."""
    filled = 0
    for size in (rows // 10, rows // 2, rows):
        began = time.monotonic()
        while filled < size:
            filled += fill(engine, uuid4(), min(JOB_ITEMS, size - filled))
        fill(engine, uuid4(), JOB_ITEMS, deleted=True)
        settle(engine)
        print(f"filled to {filled:,} rows per table, {megabytes(engine):,} MiB, in {time.monotonic() - began:.0f} s")
        print(measured(engine, lambda: purge(engine)).line(f"purge beside {filled:,} rows"), flush=True)
        with engine.begin() as connection:
            left = connection.execute(text("SELECT count(*) FROM jobs WHERE deleted_at IS NOT NULL")).scalar_one()
        if left:
            raise SystemExit("the deleted job still has rows")
    partition(engine)
    settle(engine)
    print(measured(engine, lambda: drop_partition(engine)).line("drop of a partition of each"))


def fill(engine: Database, job: UUID, n_items: int, deleted: bool = False, is_own: bool = False) -> int:
    """Inserts one job of ``n_items`` items, each with its result. Returns ``n_items``."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        number = store.take(connection, job) if is_own else store.SHARED
        connection.execute(text(_JOB), {"job": job, "items": n_items, "deleted": deleted, "store": number})
        connection.execute(text(_SHARDS), {"job": job, "width": SHARD_ITEMS, "last": n_items - 1, "store": number})
        _fill(connection, job, n_items, items_name(number), results_name(number))
    return n_items


def fill_two(engine: Database, *, is_own: bool) -> None:
    """Two deleted jobs, and one that stays, after a vacuum and a checkpoint."""
    fill(engine, uuid4(), JOB_ITEMS // 10)
    for _ in range(2):
        fill(engine, uuid4(), JOB_ITEMS, deleted=True, is_own=is_own)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))


def deletion(engine: Database) -> tuple[int, float]:
    """Removes all deleted jobs as the sweep does, and vacuums what they leave."""
    began = time.monotonic()
    with engine.begin() as connection:
        n_emptied = sum(store.empty(connection, number) for number in store.find_left(connection))
    longest = time.monotonic() - began
    n_rows, longest_of_rows = purge(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM items, results, shards, jobs"))
    return n_rows + n_emptied * 2 * JOB_ITEMS, max(longest, longest_of_rows)


def _fill(connection: Connection, job: UUID, n_items: int, items: str, results: str) -> None:
    noise = uuid4().bytes * 300  # rows are shifted windows, so they differ; they are too short for compression
    shared = {"job": job, "noise": noise, "last": n_items - 1}
    connection.execute(text(_ITEMS.format(table=items)), {**shared, "width": ITEM_BYTES})
    connection.execute(text(_RESULTS.format(table=results)), {**shared, "width": LINE_BYTES})


def settle(engine: Database) -> None:
    """Writes pending data to disk, so that the measurement does not pay for it."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) shards"))
        connection.execute(text("ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def megabytes(engine: Database) -> int:
    with engine.begin() as connection:
        return int(connection.execute(text("SELECT pg_database_size(current_database()) / 1048576")).scalar_one())


def measured(engine: Database, act: Callable[[], tuple[int, float]]) -> RemovalCost:
    """Runs ``act``, which returns the number of rows removed and the seconds of its longest transaction."""

    def log_position() -> int:
        with engine.begin() as connection:
            return int(connection.execute(text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")).scalar_one())

    before, began = log_position(), time.monotonic()
    n_rows, longest = act()
    return RemovalCost(n_rows, time.monotonic() - began, longest, log_position() - before)


def purge(engine: Database) -> tuple[int, float]:
    """Removes the deleted job as the sweep does, but without the sweep's pauses."""
    n_rows, longest = 0, 0.0
    while True:
        began = time.monotonic()
        with engine.begin() as connection:
            removed = retention.purge(connection, items=PORTION_ITEMS)
        longest = max(longest, time.monotonic() - began)
        n_rows += removed
        if not removed:
            return n_rows, longest


def partition(engine: Database) -> None:
    """Creates partitioned copies of both tables, with one job's rows in one partition each."""
    job = uuid4()
    with engine.begin() as connection:
        for table in ("items", "results"):
            by = f"{table}_by_job"
            connection.execute(text(f"CREATE TABLE {by} (LIKE {table} INCLUDING ALL) PARTITION BY LIST (job_id)"))
            connection.execute(text(f"CREATE TABLE {by}_one PARTITION OF {by} FOR VALUES IN ('{job}')"))
        _fill(connection, job, JOB_ITEMS, "items_by_job", "results_by_job")


def drop_partition(engine: Database) -> tuple[int, float]:
    began = time.monotonic()
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE items_by_job_one, results_by_job_one"))
    return 2 * JOB_ITEMS, time.monotonic() - began


if __name__ == "__main__":
    main()
