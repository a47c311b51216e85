"""Pushes settled results to the endpoints that follow a job: one ``job.results`` event for each page of results.

Settling a followed shard adds a row to ``pushes`` in the same transaction. A delivery worker later takes these rows and
writes the pages, again in one transaction. So each endpoint gets each result once, even if a process dies in between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from psycopg.rows import class_row
from pydantic_core import from_json
from sqlalchemy import Connection

from lengthwise import bells, database
from lengthwise.ledger.store import by_store
from lengthwise.ledger.webhooks import event
from lengthwise.webhooks import condition
from lengthwise.webhooks.comparison import Condition
from lengthwise.webhooks.subscription import RESULTS, includes

#: One event holds at most so many results and bytes. A single result that is larger has an event of its own.
PAGE_RESULTS = 500
PAGE_BYTES = 1_000_000

#: Selects the endpoints that follow a job which the tenant submits now.
FOLLOWERS = """
SELECT id FROM webhook_endpoints
WHERE tenant_id = %(tenant)s AND is_enabled AND events && ARRAY['job.results', 'job.*'] ORDER BY id
"""

Note = tuple[UUID, int, int]


def note_settled(connection: Connection, settled: Sequence[Note]) -> None:
    """Records shards whose results were written. Each is a job and its items lo ≤ pos < hi."""
    jobs, los, his = map(list, zip(*settled, strict=True))
    database.cursor(connection).execute(_NOTE, {"jobs": jobs, "los": los, "his": his})
    bells.note(connection, bells.DELIVER)


def note_refused(connection: Connection, job_id: UUID) -> None:
    """Records the shards of a new job whose items were refused at submission, if an endpoint follows the job."""
    cursor = database.cursor(connection)
    cursor.execute(_NOTE_REFUSED, {"job": job_id})
    if cursor.rowcount:
        bells.note(connection, bells.DELIVER)


@dataclass(slots=True)
class _Follower:
    """An endpoint that follows a job, and the page that is being filled for it."""

    id: UUID
    job_id: UUID
    kind: str
    store: int
    url: str
    events: list[str]
    filter: str | None
    is_enabled: bool
    lines: list[bytes] = field(default_factory=list)
    n_bytes: int = 0

    def condition(self) -> Condition | None:
        return None if self.filter is None else condition.parse(self.filter)


def write_pages(connection: Connection, *, shards: int) -> int:
    """Writes events for the results of the ``shards`` shards that were recorded first. Returns how many there were."""
    cursor = database.cursor(connection)
    cursor.execute(_TAKE, {"limit": shards})
    taken: list[tuple[int, UUID, int, int]] = cursor.fetchall()
    if not taken:
        return 0
    followers = _followers(connection, list({job_id for _, job_id, _, _ in taken}))
    for _, job_id, lo, hi in sorted(taken):
        following = followers.get(job_id, [])
        conditions = [follower.condition() for follower in following]
        for line in _lines(connection, following[0].store, job_id, lo, hi) if following else ():
            result = from_json(line) if any(conditions) else None
            for follower, wanted in zip(following, conditions, strict=True):
                if wanted is None or wanted.holds(result):
                    _add(connection, follower, line)
    for following in followers.values():
        for follower in following:
            _close(connection, follower)
    return len(taken)


def _followers(connection: Connection, job_ids: list[UUID]) -> dict[UUID, list[_Follower]]:
    """Endpoints, by job, that followed it when it was submitted and still want its results; disabled ones included."""
    cursor = database.cursor(connection, rows=class_row(_Follower))
    cursor.execute(_FOLLOWING, {"jobs": job_ids})
    found: dict[UUID, list[_Follower]] = {}
    for follower in cursor.fetchall():
        if includes(follower.events, RESULTS):
            found.setdefault(follower.job_id, []).append(follower)
    return found


def _lines(connection: Connection, store: int, job_id: UUID, lo: int, hi: int) -> Iterator[bytes]:
    cursor = database.cursor(connection, binary=True)
    cursor.execute(_LINES[store], {"job": job_id, "lo": lo, "hi": hi})
    return (bytes(row[0]).rstrip(b"\n") for row in cursor.fetchall())


def _add(connection: Connection, follower: _Follower, line: bytes) -> None:
    if follower.lines and (len(follower.lines) == PAGE_RESULTS or follower.n_bytes + len(line) > PAGE_BYTES):
        _close(connection, follower)
    follower.lines.append(line)
    follower.n_bytes += len(line) + 1


def _close(connection: Connection, follower: _Follower) -> None:
    if not follower.lines:
        return
    # The lines are JSON already. They are joined as they are, because parsing a megabyte would change nothing.
    data = b'{"id":"%s","kind":"%s","results":[%b]}' % (
        str(follower.job_id).encode(),
        follower.kind.encode(),
        b",".join(follower.lines),
    )
    to = event.EventReceiver(follower.job_id, follower.id, follower.id, follower.url, follower.is_enabled)
    event.write(connection, to, uuid4(), RESULTS, data)
    follower.lines, follower.n_bytes = [], 0


_NOTE = "INSERT INTO pushes (job_id, lo, hi) SELECT * FROM unnest(%(jobs)s::uuid[], %(los)s::int[], %(his)s::int[])"

_NOTE_REFUSED = """
INSERT INTO pushes (job_id, lo, hi)
SELECT job_id, lo, hi FROM shards WHERE job_id = %(job)s AND state = 'done' AND is_followed ORDER BY lo
"""

_TAKE = """
DELETE FROM pushes WHERE id = ANY(ARRAY(SELECT id FROM pushes ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING id, job_id, lo, hi
"""

_FOLLOWING = """
SELECT endpoint.id, jobs.id AS job_id, jobs.kind, jobs.store, endpoint.url, endpoint.events, endpoint.filter,
       endpoint.is_enabled
FROM jobs JOIN webhook_endpoints endpoint ON endpoint.id = ANY(jobs.followers)
WHERE jobs.id = ANY(%(jobs)s) AND jobs.deleted_at IS NULL ORDER BY jobs.id, endpoint.id
"""

# The results of a settled shard: each of its items has one.
_LINES = by_store("""
SELECT found.result
FROM (SELECT index FROM {items} WHERE job_id = %(job)s AND pos >= %(lo)s AND pos < %(hi)s ORDER BY pos OFFSET 0) item
CROSS JOIN LATERAL (
  SELECT result FROM {results} WHERE {results}.job_id = %(job)s AND {results}.index = item.index OFFSET 0
) found
""")
