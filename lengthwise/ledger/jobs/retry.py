"""Reads the failed items of an ended job, so that a new job can retry them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import Conflict, NotFound
from lengthwise.ledger import tally
from lengthwise.ledger.store import by_store
from lengthwise.ledger.webhooks import sealed_secret

#: So many payloads are fetched at a time.
_STRIDE = 1000


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that ended with failed items, and what the job that retries them takes over from it."""

    id: UUID
    kind: str
    model: str
    params: dict[str, Any]
    priority: int
    state: str
    n_items: int
    chunk_items: int
    deduplicate: bool
    webhook_url: str | None
    webhook_secret: str | None
    n_failed: int
    source: dict[str, Any] | None
    store: int
    name: str | None
    tags: list[str] | None
    source_file: str | None


def lock_failed_job(connection: Connection, job_id: UUID, tenant_id: UUID) -> FailedJob:
    """The job. Its rows are not removed before the transaction ends, even if the job is deleted meanwhile.

    Raises ``NotFound``, and ``Conflict`` if the job is open or none of its items failed.
    """
    cursor = database.cursor(connection, rows=class_row(FailedJob))
    found: FailedJob | None = cursor.execute(_FAILED, {"job": job_id, "tenant": tenant_id}).fetchone()
    if found is None:
        raise NotFound("there is no such job")
    if found.state == "open":
        raise Conflict("the job has not ended")
    if not found.n_failed:
        raise Conflict("no item of the job failed")
    if found.webhook_secret is None:
        return found
    return replace(found, webhook_secret=sealed_secret.unseal_for_job(job_id, found.webhook_secret))


class FailedItem(NamedTuple):
    """A failed item as it was stored."""

    index: int  # type: ignore[assignment]  # hides the method of tuples, which is not used here
    payload: bytes


def read_failed_items(connection: Connection, job: FailedJob) -> Iterator[list[FailedItem]]:
    """The failed items in the caller's order, in portions."""
    cursor = database.cursor(connection, binary=True)
    for start in range(0, job.n_items, job.chunk_items):
        cursor.execute(_PLACES[job.store], {"job": job.id, "start": start, "end": start + job.chunk_items})
        places = [row[0] for row in cursor.fetchall()]
        for first in range(0, len(places), _STRIDE):
            cursor.execute(_PAYLOADS[job.store], {"job": job.id, "places": places[first : first + _STRIDE]})
            yield list(map(FailedItem._make, cursor.fetchall()))


# FOR KEY SHARE lets another transaction delete the job, but not remove its rows.
_FAILED = f"""
SELECT id, kind, model, params, priority, state, n_items, chunk_items, deduplicate, webhook_url, webhook_secret,
       n_failed, source, store, name, tags, source_file
FROM jobs CROSS JOIN LATERAL ({tally.SUMS}) sums WHERE id = %(job)s AND tenant_id = %(tenant)s AND deleted_at IS NULL
FOR KEY SHARE OF jobs
"""  # noqa: S608 - built from a constant

# One of the chunks in which items were sorted. Only shards that have failures are read.
_PLACES = by_store("""
SELECT item.pos
FROM shards CROSS JOIN LATERAL (
  SELECT index, pos FROM {items}
  WHERE {items}.job_id = shards.job_id AND {items}.pos >= shards.lo AND {items}.pos < shards.hi OFFSET 0
) item
CROSS JOIN LATERAL (
  SELECT FROM {results}
  WHERE {results}.job_id = shards.job_id AND {results}.index = item.index AND status = 'failed' OFFSET 0
) result
WHERE shards.job_id = %(job)s AND shards.lo >= %(start)s AND shards.lo < %(end)s AND shards.n_failed > 0
ORDER BY item.index
""")

_PAYLOADS = by_store(
    "SELECT index, payload FROM {items} WHERE job_id = %(job)s AND pos = ANY(%(places)s) ORDER BY index"
)
