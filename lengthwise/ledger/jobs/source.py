"""The rows of a job that was sent as a table, in blocks, so that its results can be joined to them."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database


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


def read(connection: Connection, job_id: UUID, start: int, end: int) -> Sequence[SourceBlock]:
    """The blocks that hold rows of ``start ≤ number < end``, in order."""
    cursor = database.cursor(connection, binary=True)
    cursor.execute(_READ, {"job": job_id, "start": start, "end": end})
    return list(map(SourceBlock._make, cursor.fetchall()))


_INSERT = "INSERT INTO source_blocks VALUES (%(job)s, %(first)s, %(n_rows)s, %(content)b)"

_READ = """
SELECT first, n_rows, content FROM source_blocks
WHERE job_id = %(job)s AND first < %(end)s
  AND first >= coalesce((SELECT max(first) FROM source_blocks WHERE job_id = %(job)s AND first <= %(start)s), 0)
ORDER BY first
"""
