"""A job's results in the caller's order, page by page, with the items that never ran among them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.states import ResultStatus


class ResultRow(NamedTuple):
    index: int  # type: ignore[assignment]  # tuples have a method of that name, which nobody misses here
    #: One of ``ResultStatus``.
    status: str
    #: The line as it was settled; None for an item that never ran, whose ``payload`` is then given.
    line: bytes | None
    payload: bytes | None


#: What ``_make`` does, without a call into Python for each row.
_as_result: Callable[[Iterable[Any]], ResultRow] = partial(tuple.__new__, ResultRow)


@dataclass(frozen=True, slots=True)
class ResultPage:
    rows: list[ResultRow]
    #: Where the next page begins; None at the end of the job.
    next_after: int | None


def read_page(
    connection: Connection,
    job_id: UUID,
    *,
    after: int,
    limit: int,
    chunk_items: int,
    n_items: int,
    has_dropped: bool = True,
    status: ResultStatus | None = None,
) -> ResultPage:
    """The next results by index, at most ``limit``, those settled with ``status`` where it is given; a gap is an item
    that has no result yet.

    A page lies within one chunk of items, as they were sorted, so that the items that never ran are found by their
    shards without an index over every item. A page may be empty with more to follow. Raises ``NotFound`` once the job
    is deleted, rather than let its gaps pass for results that are still to come.
    """
    start = (after + 1) // chunk_items * chunk_items
    end = start + chunk_items
    reading, asking = (database.cursor(connection, binary=True) for _ in range(2))
    with database.pipelined(connection):
        statement = _STATEMENTS[has_dropped, status is not None]
        where = {"job": job_id, "after": after, "start": start, "end": end, "limit": limit, "status": status}
        reading.execute(statement, where)
        # Asked afterwards: had it been deleted before, its rows might have been going while they were read.
        asking.execute(_IS_THERE, {"job": job_id})
        rows = list(map(_as_result, reading.fetchall()))
        if asking.fetchone() is None:
            raise NotFound("there is no such job")
    last = rows[-1].index if len(rows) == limit else end - 1
    return ResultPage(rows, last if last < n_items - 1 else None)


_SETTLED = """
SELECT index, status, result, NULL::bytea AS payload FROM results
WHERE job_id = %(job)s AND index > %(after)s AND index < %(end)s ORDER BY index LIMIT %(limit)s
"""
_SETTLED_SO = _SETTLED.replace("ORDER BY", "AND status = %(status)s ORDER BY")

# Settled rows of one chunk, and the items of its shards that never ran.
_AND_DROPPED = """
({settled})
UNION ALL
SELECT item.index, shards.state, NULL, item.payload
FROM shards CROSS JOIN LATERAL (
  SELECT index, payload FROM items
  WHERE items.job_id = shards.job_id AND items.pos >= shards.lo AND items.pos < shards.hi OFFSET 0
) item
WHERE shards.job_id = %(job)s AND shards.lo >= %(start)s AND shards.lo < %(end)s
  AND shards.state IN ('cancelled', 'expired') AND item.index > %(after)s
ORDER BY index LIMIT %(limit)s
"""

_RESULTS = _AND_DROPPED.format(settled=_SETTLED)

#: By whether there are items that never ran, and whether those of one status are wanted.
_STATEMENTS = {
    (False, False): _SETTLED,
    (False, True): _SETTLED_SO,
    (True, False): _RESULTS,
    (True, True): _AND_DROPPED.format(settled=_SETTLED_SO),
}

_IS_THERE = "SELECT 1 FROM jobs WHERE id = %(job)s AND deleted_at IS NULL"
