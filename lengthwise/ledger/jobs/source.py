"""The rows of a job that was sent as a table, in blocks, so that its results can be joined to them."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound


class SourceBlock(NamedTuple):
    """``n_rows`` rows from number ``first`` on; ``lengthwise.formats.source`` knows the content."""

    first: int
    n_rows: int
    content: bytes


def add(connection: Connection, job_id: UUID, block: tuple[int, int, bytes]) -> None:
    """Writes a ``SourceBlock``."""
    first, n_rows, content = block
    values = {"job": job_id, "first": first, "n_rows": n_rows, "content": content}
    database.cursor(connection).execute(_INSERT, values)


def read_table(connection: Connection, job_id: UUID) -> dict[str, Any]:
    """What the table was, with all of its columns. Raises ``NotFound`` if the job is gone, or was no table."""
    cursor = database.cursor(connection)
    found = cursor.execute(_TABLE, {"job": job_id}).fetchone()
    if found is None:
        raise NotFound("there is no such job")
    table: dict[str, Any] = found[0]
    return table


def read(connection: Connection, job_id: UUID, start: int, end: int) -> Sequence[SourceBlock]:
    """The blocks that hold rows of ``start ≤ number < end``, in order."""
    cursor = database.cursor(connection, binary=True)
    cursor.execute(_READ, {"job": job_id, "start": start, "end": end})
    return list(map(SourceBlock._make, cursor.fetchall()))


_TABLE = "SELECT source FROM jobs WHERE id = %(job)s AND source IS NOT NULL AND deleted_at IS NULL"

_INSERT = "INSERT INTO source_blocks VALUES (%(job)s, %(first)s, %(n_rows)s, %(content)b)"

_READ = """
SELECT first, n_rows, content FROM source_blocks
WHERE job_id = %(job)s AND first < %(end)s
  AND first >= coalesce((SELECT max(first) FROM source_blocks WHERE job_id = %(job)s AND first <= %(start)s), 0)
ORDER BY first
"""
