"""A job's results in the caller's order, page by page, with the items that never ran among them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger.store import by_store
from lengthwise.states import ResultStatus

#: A page is held in memory. It ends with the row that reaches so many bytes.
_PAGE_BYTES = 4 * 2**20


class ResultRow(NamedTuple):
    """How one item ended."""

    index: int  # type: ignore[assignment]  # hides the method of tuples, which is not used here
    #: One of ``ResultStatus``.
    status: str
    #: The NDJSON line that was settled; None for an item that never ran.
    line: bytes | None
    #: The item as it was stored, if it never ran; else None.
    payload: bytes | None


#: The same as ``_make``, without a Python call for each row.
_as_result: Callable[[Iterable[Any]], ResultRow] = partial(tuple.__new__, ResultRow)


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Results in order of their index. A page may be empty although more follow."""

    rows: list[ResultRow]
    #: The ``after`` of the next page; None at the end of the job.
    next_after: int | None


def read_page(
    connection: Connection,
    job_id: UUID,
    *,
    store: int,
    after: int,
    limit: int,
    chunk_items: int,
    n_items: int,
    has_dropped: bool = True,
    status: ResultStatus | None = None,
) -> ResultPage:
    """At most ``limit`` results after index ``after``, fewer if they are long; with ``status``, only those settled so.

    An index that is missing belongs to an item that has no result yet. ``has_dropped`` false says that every item ran
    or will run, which makes the query cheaper. A page never goes beyond one of the chunks in which the items were
    sorted: so the shards lead to the items that never ran, without an index over every item. Raises ``NotFound`` once
    the job is deleted, because its removed results would look like results that are still to come.
    """
    start = (after + 1) // chunk_items * chunk_items
    end = start + chunk_items
    sizing, reading, asking = (database.cursor(connection, binary=True) for _ in range(3))
    where = {"job": job_id, "after": after, "start": start, "end": end, "limit": limit, "bytes": _PAGE_BYTES}
    is_short = not has_dropped and sizing.execute(_IS_SHORT, where).fetchone() == (True,)
    has_status = status is not None
    statement = (_OF_SHORT_CHUNKS[has_status] if is_short else _STATEMENTS[has_dropped, has_status])[store]
    with database.pipelined(connection):
        reading.execute(statement, where | {"status": status})
        # Checked after reading: if the job still exists now, none of its rows was removed while they were read.
        asking.execute(_IS_THERE, {"job": job_id})
        rows = list(map(_as_result, reading.fetchall()))
        if asking.fetchone() is None:
            raise NotFound("there is no such job")
    is_full = len(rows) == limit or sum(map(_size, rows)) >= _PAGE_BYTES
    last = rows[-1].index if is_full else end - 1
    return ResultPage(rows, last if last < n_items - 1 else None)


def _size(row: ResultRow) -> int:
    return len(row.line if row.line is not None else row.payload or b"")


def read_dropped(connection: Connection, job_ids: Sequence[UUID]) -> Iterator[tuple[UUID, str, ResultRow]]:
    """The items of these jobs that never ran, each with its job and the job's kind, in one query for each store.

    The rows are read while they arrive: no other statement may run on the connection meanwhile.
    """
    cursor = database.cursor(connection, binary=True)
    cursor.execute(_STORES, {"jobs": list(job_ids)})
    for store, jobs in cursor.fetchall():
        for job_id, kind, index, status, payload in cursor.stream(_DROPPED[store], {"jobs": jobs}):
            yield job_id, kind, ResultRow(index, status, None, payload)


_SETTLED = """
SELECT index, status, result, NULL::bytea AS payload FROM {results}
WHERE job_id = %(job)s AND index > %(after)s AND index < %(end)s ORDER BY index LIMIT %(limit)s
"""
_SETTLED_SO = _SETTLED.replace("ORDER BY", "AND status = %(status)s ORDER BY")

# The settled rows of one chunk, and those of its items that never ran.
_AND_DROPPED = """
({settled})
UNION ALL
SELECT item.index, shards.state, NULL, item.payload
FROM shards CROSS JOIN LATERAL (
  SELECT index, payload FROM {items}
  WHERE {items}.job_id = shards.job_id AND {items}.pos >= shards.lo AND {items}.pos < shards.hi OFFSET 0
) item
WHERE shards.job_id = %(job)s AND shards.lo >= %(start)s AND shards.lo < %(end)s
  AND shards.state IN ('cancelled', 'expired') AND item.index > %(after)s
ORDER BY index LIMIT %(limit)s
"""

_STORES = "SELECT store, array_agg(id) FROM jobs WHERE id = ANY(%(jobs)s) GROUP BY store"

_DROPPED = by_store("""
SELECT jobs.id, jobs.kind, item.index, shards.state, item.payload
FROM jobs JOIN shards ON shards.job_id = jobs.id AND shards.state IN ('cancelled', 'expired')
CROSS JOIN LATERAL (
  SELECT index, payload FROM {items}
  WHERE {items}.job_id = shards.job_id AND {items}.pos >= shards.lo AND {items}.pos < shards.hi OFFSET 0
) item
WHERE jobs.id = ANY(%(jobs)s)
""")

# Lengths are known without reading what is long.
_SHORT = """
SELECT index, status, result, payload FROM (
  SELECT *, sum(octet_length(coalesce(result, payload))) OVER (ORDER BY index ROWS UNBOUNDED PRECEDING)
            - octet_length(coalesce(result, payload)) AS n_before
  FROM ({page}) page
) sized WHERE n_before < %(bytes)s ORDER BY index
"""

# What is settled stays as it is. Of most chunks the shards know that no page of them can be long.
_IS_SHORT = """
SELECT coalesce(sum(n_bytes + n_failed_bytes) <= %(bytes)s AND bool_and(state = 'done'), false) FROM shards
WHERE job_id = %(job)s AND lo >= %(start)s AND lo < %(end)s
"""


def _within_bytes(page: str) -> tuple[str, ...]:
    return by_store(_SHORT.replace("{page}", page))


_DROPPED_TOO, _DROPPED_TOO_SO = (_AND_DROPPED.replace("{settled}", each) for each in (_SETTLED, _SETTLED_SO))
#: By whether there may be items that never ran, and whether only one status is wanted; then by store.
_STATEMENTS = {
    (False, False): _within_bytes(_SETTLED),
    (False, True): _within_bytes(_SETTLED_SO),
    (True, False): _within_bytes(_DROPPED_TOO),
    (True, True): _within_bytes(_DROPPED_TOO_SO),
}
#: The same for chunks that are short and wholly settled: no line is measured. By whether only one status is wanted.
_OF_SHORT_CHUNKS = {False: by_store(_SETTLED), True: by_store(_SETTLED_SO)}

_IS_THERE = "SELECT 1 FROM jobs WHERE id = %(job)s AND deleted_at IS NULL"
