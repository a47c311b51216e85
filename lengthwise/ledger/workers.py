"""Which processes work: each reports itself into a row of its own. All times are those of the database's clock."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import class_row
from pydantic_core import to_json
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.states import WorkerRole, WorkerState

#: A process that has not reported for so many periods is lost.
_MISSED_REPORTS = 3
#: The most processes of one list. A process that dies at its start, again and again, leaves a row each time.
_MOST = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedModel:
    """A model that a process holds, or could not load. Times are seconds before or after the report."""

    name: str
    #: ``loaded`` or ``failed``. A loaded one with a ``reason`` is an older revision: the newer one failed.
    state: str
    revision: str | None = None
    quantization: str | None = None
    device: str | None = None
    memory_bytes: int | None = None
    load_seconds: float | None = None
    #: Why it could not be loaded, and how long ago that was.
    reason: str | None = None
    failed_seconds: float | None = None
    #: How long its engine still pauses, and for what.
    paused_seconds: float | None = None
    paused_for: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """What a process says of itself. Times are seconds before the report."""

    id: UUID
    role: WorkerRole
    name: str
    host: str
    pid: int
    device: str | None
    version: str
    started_seconds: float
    stepped_seconds: float | None
    state: WorkerState
    model: str | None
    pool: str | None
    batch_rows: int | None
    batch_tokens: int | None
    n_items: int
    n_tokens: int
    items_per_second: float
    #: For how long it has worked since it started, and its items per second over the last minute of this time. None if
    #: it does not know.
    busy_seconds: float | None = None
    items_per_busy_second: float | None = None
    models: Sequence[ReportedModel]
    last_error: str | None
    error_seconds: float | None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A process as it last reported itself. ``models`` are those of the report, with times instead of seconds."""

    id: UUID
    role: str
    name: str
    host: str
    pid: int
    device: str | None
    version: str
    started_at: datetime
    seen_at: datetime
    seen_seconds: float
    stepped_at: datetime | None
    state: str
    model: str | None
    pool: str | None
    batch_rows: int | None
    batch_tokens: int | None
    n_items: int
    n_tokens: int
    items_per_second: float
    models: list[dict[str, Any]]
    last_error: str | None
    last_error_at: datetime | None


class LiveWorker(NamedTuple):
    """A process that is not lost."""

    role: str
    state: str
    models: list[dict[str, Any]]

    def has_loaded(self, model: str) -> bool:
        """Whether it takes work, and has this model in memory."""
        is_there = any(each["name"] == model and each["state"] == "loaded" for each in self.models)
        return is_there and self.role == WorkerRole.GENERATE and self.state != WorkerState.STOPPING


def lost_after(presence_seconds: float) -> float:
    """Seconds without a report after which a process is lost, if it reports every ``presence_seconds``."""
    return _MISSED_REPORTS * presence_seconds


def state_of(reported: str, seen_seconds: float, presence_seconds: float) -> WorkerState:
    """The state of a process that reported this state so many seconds ago."""
    is_lost = seen_seconds > lost_after(presence_seconds)
    return WorkerState.LOST if is_lost else WorkerState(reported)


def beat(connection: Connection, report: WorkerReport) -> None:
    """Writes the report. If a crash of the database has emptied the table, the row comes back."""
    values = asdict(report)
    database.cursor(connection).execute(_BEAT, values | {"models": to_json(values["models"]).decode()})


def end(connection: Connection, worker_id: UUID) -> None:
    """Removes a process that ends in order."""
    database.cursor(connection).execute(_END, {"id": worker_id})


def find_all(connection: Connection) -> list[WorkerRow]:
    """The processes seen last, at most a thousand, the lost ones among them. ``state_of`` tells those."""
    cursor = database.cursor(connection, rows=class_row(WorkerRow))
    return cursor.execute(_ALL, {"most": _MOST}).fetchall()


def find_live(connection: Connection, *, presence_seconds: float) -> list[LiveWorker]:
    """The processes that are not lost."""
    cursor = database.cursor(connection).execute(_LIVE, {"lost": lost_after(presence_seconds)})
    return [LiveWorker(*row) for row in cursor.fetchall()]


def forget(connection: Connection, *, seconds: float) -> None:
    """Removes processes that were not seen for so long."""
    database.cursor(connection).execute(_FORGET, {"seconds": seconds})


# The process knows how long ago something was, by its monotonic clock, and not when: its host's clock may be wrong.
_BEAT = """
INSERT INTO workers (id, role, name, host, pid, device, version, started_at, seen_at, stepped_at, state, model, pool,
                     batch_rows, batch_tokens, n_items, n_tokens, items_per_second, busy_seconds,
                     items_per_busy_second, models, last_error, last_error_at)
VALUES (%(id)s, %(role)s, %(name)s, %(host)s, %(pid)s, %(device)s, %(version)s,
        now() - make_interval(secs => %(started_seconds)s), now(),
        now() - make_interval(secs => %(stepped_seconds)s), %(state)s, %(model)s, %(pool)s,
        %(batch_rows)s, %(batch_tokens)s, %(n_items)s, %(n_tokens)s, %(items_per_second)s,
        %(busy_seconds)s, %(items_per_busy_second)s, (
          SELECT coalesce(jsonb_agg((model || jsonb_build_object(
            'failed_at', now() - make_interval(secs => (model->>'failed_seconds')::float8),
            'paused_until', now() + make_interval(secs => (model->>'paused_seconds')::float8)
          )) - ARRAY['failed_seconds', 'paused_seconds'] ORDER BY place), '[]'::jsonb)
          FROM jsonb_array_elements(%(models)s::jsonb) WITH ORDINALITY reported (model, place)
        ), %(last_error)s, now() - make_interval(secs => %(error_seconds)s))
ON CONFLICT (id) DO UPDATE SET
  device = excluded.device, seen_at = excluded.seen_at, stepped_at = excluded.stepped_at, state = excluded.state,
  model = excluded.model, pool = excluded.pool, batch_rows = excluded.batch_rows,
  batch_tokens = excluded.batch_tokens, n_items = excluded.n_items, n_tokens = excluded.n_tokens,
  items_per_second = excluded.items_per_second, busy_seconds = excluded.busy_seconds,
  items_per_busy_second = excluded.items_per_busy_second, models = excluded.models,
  last_error = excluded.last_error, last_error_at = excluded.last_error_at
"""

_END = "DELETE FROM workers WHERE id = %(id)s"

_ALL = """
SELECT id, role, name, host, pid, device, version, started_at, seen_at,
       greatest(0, extract(epoch FROM now() - seen_at))::float8 AS seen_seconds, stepped_at, state, model, pool,
       batch_rows, batch_tokens, n_items, n_tokens, items_per_second, models, last_error, last_error_at
FROM workers ORDER BY seen_at DESC, id LIMIT %(most)s
"""

_LIVE = """
SELECT role, state, models FROM workers WHERE seen_at >= now() - make_interval(secs => %(lost)s)
"""

_FORGET = "DELETE FROM workers WHERE seen_at < now() - make_interval(secs => %(seconds)s)"
