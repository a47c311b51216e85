"""The gauges of the ledger and the broker, asked for at a scrape: what waits, since when, and who works."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lengthwise import logs, queue
from lengthwise.database import Database, translated
from lengthwise.errors import Unavailable
from lengthwise.ledger import gauges, workers
from lengthwise.ledger.gauges import LedgerGauges, OpenSums
from lengthwise.metrics.slow_figure import SlowFigure
from lengthwise.states import Priority, WorkerRole, WorkerState

log = logging.getLogger(__name__)

#: Scrapes within this time share one answer, so that several scrapers cost no more than one.
_SHARED_SECONDS = 1.0


class QueueCollector(Collector):
    """Only the API's process has one: every process would show the same figures.

    If very many jobs are open, a scrape shows the sums over them that were found after the scrape before.
    """

    def __init__(self, database: Database, *, tenants: bool, presence_seconds: float) -> None:
        self._database, self._tenants = database, tenants
        self._lost_seconds = workers.lost_after(presence_seconds)
        self._sums = SlowFigure(self._sum_open)
        self._lock = Lock()
        self._read_at = float("-inf")
        self._found: Sequence[Metric] = ()

    def collect(self) -> Iterable[Metric]:
        """The gauges; without those of the ledger if it is away. Raises nothing."""
        with self._lock:
            if time.monotonic() - self._read_at >= _SHARED_SECONDS:
                self._found = [
                    *ledger_families(self._read(), tenants=self._tenants),
                    *broker_families(queue.waiting_bells(queue.GENERATE, queue.DELIVER)),
                ]
                self._read_at = time.monotonic()
            return self._found

    def _sum_open(self) -> OpenSums:
        with translated(), self._database.asking() as connection:
            return gauges.sum_open(connection, by_tenant=self._tenants)

    def _read(self) -> tuple[LedgerGauges, OpenSums] | None:
        try:
            with translated(), self._database.asking() as connection:
                found = gauges.read(connection, lost_seconds=self._lost_seconds)
            return found, self._sums.get()
        except Unavailable:
            return None  # the process has said so
        except Exception as error:  # the other figures are shown all the same
            name = type(error).__name__
            log.error("the gauges of the ledger were not read: unexpected %s", name, extra=logs.raised(error))
            return None


def ledger_families(read: tuple[LedgerGauges, OpenSums] | None, *, tenants: bool) -> Iterator[Metric]:
    """The gauges that are read from the ledger; None is a ledger that is away."""
    yield _gauge("lengthwise_ledger_up", "Whether the gauges of the ledger could be read.", read is not None)
    if read is None:
        return
    found, sums = read
    yield from _work_families(sums, tenants=tenants)
    oldest = GaugeMetricFamily(
        "lengthwise_oldest_pending_seconds",
        "Age of the oldest open job of each priority; 0 if there is none.",
        labels=("priority",),
    )
    for priority in Priority:
        oldest.add_metric((priority.name.lower(),), found.oldest_seconds.get(priority, 0.0))
    yield oldest
    nearest = GaugeMetricFamily(
        "lengthwise_nearest_deadline_seconds", "Time until the nearest deadline of an open job, if any has one."
    )
    if found.deadline_seconds is not None:
        nearest.add_metric((), found.deadline_seconds)
    yield nearest
    yield _gauge(
        "lengthwise_webhook_oldest_seconds",
        "Time for which the most overdue webhook has been due; 0 if none is.",
        found.webhook_seconds,
    )
    processes = GaugeMetricFamily(
        "lengthwise_workers",
        "Processes of workers, by what they last reported. One that has not reported for three periods is lost.",
        labels=("role", "state"),
    )
    for role in WorkerRole:
        for state in WorkerState:
            processes.add_metric((role, state), found.workers.get((role, state), 0))
    yield processes


def _work_families(sums: OpenSums, *, tenants: bool) -> Iterator[Metric]:
    of_tenant = ("tenant",) if tenants else ()
    items = GaugeMetricFamily(
        "lengthwise_items",
        "Items of open jobs that wait or run. Only open jobs are counted.",
        labels=("state", "kind", "model", *of_tenant),
    )
    tokens = GaugeMetricFamily(
        "lengthwise_pending_tokens",
        "Input tokens of open jobs that wait or run.",
        labels=("kind", "model", *of_tenant),
    )
    for work in sums.work:
        tenant = (str(work.tenant_id),) if tenants else ()
        items.add_metric(("waiting", work.kind, work.model, *tenant), max(0, work.n_open - work.n_running))
        items.add_metric(("running", work.kind, work.model, *tenant), work.n_running)
        tokens.add_metric((work.kind, work.model, *tenant), max(0, work.n_tokens))
    yield items
    yield tokens
    yield _gauge("lengthwise_open_jobs", "Jobs that have not ended.", sums.n_jobs)
    yield _gauge(
        "lengthwise_jobs_near_deadline",
        "Open jobs with less than a tenth of the time between submission and deadline left.",
        sums.n_near_deadline,
    )


def broker_families(waiting: dict[str, int] | None) -> Iterator[Metric]:
    """The gauges of the broker; None is a broker that is away."""
    yield _gauge("lengthwise_broker_up", "Whether the broker answered.", waiting is not None)
    bells = GaugeMetricFamily("lengthwise_bells", "Bells that wait in a queue of the broker.", labels=("queue",))
    for name, count in (waiting or {}).items():
        bells.add_metric((name,), count)
    yield bells


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
