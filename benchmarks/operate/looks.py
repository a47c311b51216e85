"""What an operator asks, and how long each answer may take."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import Connection
from starlette.testclient import TestClient

from benchmarks.operate.filling import KEY, KnownJobs
from lengthwise import database
from lengthwise.ledger import gauges, scaling, workers
from lengthwise.ledger.accounts import rate
from lengthwise.ledger.jobs import lately
from lengthwise.ledger.queue import open_work, work_rate
from lengthwise.metrics.queue import QueueCollector

_LIST_MS, _JOB_MS, _SCRAPE_MS, _OVERVIEW_MS = 50.0, 20.0, 20.0, 100.0
_PRESENCE_SECONDS = 5.0
#: Scrapes within a second share one answer.
_BETWEEN_SCRAPES = 1.1

#: The queries of lists: the filters alone, pairs that many jobs meet apart but few or none together, and none at all.
LISTS = (
    "",
    "kind=generate",
    "model=model-1",
    "model=none",
    "state=completed",
    "state=expired",
    "state=queued",
    "state=running",
    "tag=all",
    "tag=rare",
    f"key_id={KEY}",
    "name=nightly",
    "name=large",
    "kind=generate&state=cancelled",
    "model=model-1&kind=generate&state=expired",
    "tag=all&name=large",
)


class RunningInstallation(NamedTuple):
    """A running installation: its API as a caller sees it, and its metrics as Prometheus does."""

    client: TestClient
    metrics: CollectorRegistry


class Look(NamedTuple):
    """One question, with the milliseconds that its answer may take if there is such a limit."""

    name: str
    bound_ms: float | None
    ask: Callable[[RunningInstallation], None]
    #: Seconds between two of these questions.
    pause: float = 0.0


def metrics() -> CollectorRegistry:
    """A registry with the gauges of the ledger and the broker."""
    made = CollectorRegistry()
    made.register(QueueCollector(database.engine(), tenants=False, presence_seconds=_PRESENCE_SECONDS))
    return made


def looks(known: KnownJobs) -> Iterator[Look]:
    """Everything that is measured, in the order in which it is shown."""
    yield Look("a scrape", _SCRAPE_MS, lambda asked: _scrape(asked.metrics), _BETWEEN_SCRAPES)
    yield Look("the sums of a scrape, beside it", None, lambda _: _read(gauges.sum_open))
    yield Look("the question of an autoscaler", None, lambda _: _read(_scaling))
    yield Look("the queries of the overview", _OVERVIEW_MS, lambda _: _read(_overview))
    yield _get("/v1/workers", None)
    yield _get(f"/v1/jobs/{known.running}", _JOB_MS, "a job that runs")
    yield _get(f"/v1/jobs/{known.last}", _JOB_MS, "a job behind all others")
    yield _get(f"/v1/jobs/{known.ended}", _JOB_MS, "a job that has ended")
    for query in LISTS:
        yield _get(f"/v1/jobs?{query}" if query else "/v1/jobs", _LIST_MS)


def _get(path: str, bound_ms: float | None, name: str = "") -> Look:
    def ask(asked: RunningInstallation) -> None:
        asked.client.get(path).raise_for_status()

    return Look(f"GET /v1/jobs/ID: {name}" if name else f"GET {path}", bound_ms, ask)


def _scrape(registry: CollectorRegistry) -> None:
    if b"lengthwise_ledger_up 1.0" not in generate_latest(registry):
        raise SystemExit("the gauges of the ledger could not be read")


def _read(query: Callable[[Connection], object]) -> None:
    with database.engine().begin() as connection:
        query(connection)


def _scaling(connection: Connection) -> None:
    scaling.read_work(connection, [], drain_seconds=900)
    scaling.find_workers(connection)


def _overview(connection: Connection) -> None:
    """As ``api.page.overview`` asks for the operator. The backlog of the API is summed beside it."""
    rate.find_used_up(connection, None, most=6)
    open_work.by_priority(connection, None)
    lately.sum_ended(connection, None)
    work_rate.read(connection, seconds=3_600)
    workers.find_live(connection, presence_seconds=_PRESENCE_SECONDS)
    workers.find_all(connection)
