"""The baselines' tables and all queries on them.

A statement inserts a result at most once and counts it, so a message that Celery delivers twice does no harm.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

Connection = psycopg.Connection[tuple[object, ...]]
#: The content of a message: a job, and the index of one of its items.
Key = tuple[UUID, int]

_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
  id uuid PRIMARY KEY, n_items int NOT NULL, n_done int NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS items (
  job_id uuid, index int, n_tokens int NOT NULL, text text NOT NULL, PRIMARY KEY (job_id, index)
);
CREATE TABLE IF NOT EXISTS results (job_id uuid, index int, line bytea NOT NULL, PRIMARY KEY (job_id, index));
"""


@dataclass(frozen=True)
class JobProgress:
    n_items: int
    n_done: int
    finished_at: datetime | None


def connect(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True)


def create(connection: Connection) -> None:
    connection.execute(_TABLES)


def insert_job(connection: Connection, job_id: UUID, items: Iterable[tuple[int, str]]) -> int:
    """Writes a job and its items (number of tokens, text) in one transaction. Returns the number of items."""
    count = 0
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy("COPY items (job_id, index, n_tokens, text) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["uuid", "int4", "int4", "text"])
            for index, (n_tokens, text) in enumerate(items):
                copy.write_row((job_id, index, n_tokens, text))
                count += 1
        cursor.execute("INSERT INTO jobs (id, n_items) VALUES (%s, %s)", [job_id, count])
    return count


def figures(connection: Connection, job_id: UUID) -> JobProgress | None:
    found = connection.execute("SELECT n_items, n_done, finished_at FROM jobs WHERE id = %s", [job_id]).fetchone()
    return JobProgress(*found) if found else None  # type: ignore[arg-type]  # the columns' types


def results(connection: Connection, job_id: UUID, page: int = 1000) -> Iterator[bytes]:
    """Yields a job's result lines in order, ``page`` lines at a time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT line FROM results WHERE job_id = %s ORDER BY index", [job_id], binary=True)
        while rows := cursor.fetchmany(page):
            yield b"".join(row[0] for row in rows)  # type: ignore[misc]  # bytea


def text(connection: Connection, key: Key) -> str:
    found = connection.execute("SELECT text FROM items WHERE job_id = %s AND index = %s", key).fetchone()
    if found is None:
        raise LookupError("the item does not exist")
    return str(found[0])


def texts(connection: Connection, keys: Sequence[Key]) -> dict[Key, str]:
    rows = connection.execute(
        "SELECT job_id, index, text FROM items JOIN unnest(%s::uuid[], %s::int[]) AS key (job_id, index)"
        " USING (job_id, index)",
        [[job_id for job_id, _ in keys], [index for _, index in keys]],
    )
    return {(job_id, index): text for job_id, index, text in rows}  # type: ignore[misc]  # the columns' types


_SETTLE_ONE = """
WITH written AS (
  INSERT INTO results (job_id, index, line) VALUES (%(job)s, %(index)s, %(line)b)
  ON CONFLICT DO NOTHING RETURNING job_id
)
UPDATE jobs SET n_done = n_done + 1, finished_at = CASE WHEN n_done + 1 = n_items THEN clock_timestamp() END
FROM written WHERE id = written.job_id
"""

_SETTLE_MANY = """
WITH written AS (
  INSERT INTO results (job_id, index, line)
  SELECT * FROM unnest(%(jobs)b::uuid[], %(indexes)b::int[], %(lines)b::bytea[])
  ON CONFLICT DO NOTHING RETURNING job_id
), counted AS (SELECT job_id, count(*) AS n FROM written GROUP BY job_id)
UPDATE jobs SET n_done = n_done + n, finished_at = CASE WHEN n_done + n = n_items THEN clock_timestamp() END
FROM counted WHERE id = counted.job_id
"""


def settle_one(connection: Connection, key: Key, line: bytes) -> None:
    connection.execute(_SETTLE_ONE, {"job": key[0], "index": key[1], "line": line})


def settle_many(connection: Connection, lines: Sequence[tuple[Key, bytes]]) -> None:
    connection.execute(
        _SETTLE_MANY,
        {
            "jobs": [job_id for (job_id, _), _ in lines],
            "indexes": [index for (_, index), _ in lines],
            "lines": [line for _, line in lines],
        },
    )
