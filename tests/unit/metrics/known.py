"""All metrics of all roles, as their definitions describe them."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from prometheus_client.metrics_core import Metric
from sqlalchemy import create_engine

from lengthwise.database import Database, ring_nothing
from lengthwise.ledger.gauges import LedgerGauges, OpenSums, WorkGauge
from lengthwise.metrics import meters, queue
from lengthwise.metrics.connections import ConnectionCollector
from lengthwise.metrics.meters import Meters
from lengthwise.states import Priority, WorkerRole, WorkerState
from lengthwise.waiting.pulse import Pulse
from lengthwise.waiting.turnstile import Turnstile

ROLES = (meters.API, meters.GENERATE, meters.DELIVER)
WORK = WorkGauge(UUID(int=7), "translate", "demo", n_open=10, n_running=4, n_tokens=100)
SUMS = OpenSums([WORK], n_jobs=2, n_near_deadline=1)
LEDGER = LedgerGauges({Priority.NORMAL: 60.0}, 120.0, 3.0, {(WorkerRole.GENERATE, WorkerState.IDLE): 2})


class KnownMetric(NamedTuple):
    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


def known(*, tenants: bool = False) -> set[KnownMetric]:
    """Every metric whose name begins with lengthwise, by the name that is scraped."""
    counted = Meters(tenants=tenants)
    objects = {metric for role in ROLES for metric in counted.of_role(role)}
    found = {_known(next(iter(metric.describe())), metric._labelnames) for metric in objects}  # type: ignore[attr-defined]
    found |= {_known(family, family._labelnames) for family in gauges(tenants=tenants)}  # type: ignore[attr-defined]
    build = KnownMetric(
        "lengthwise_build_info", "gauge", ("version", "python", "role"), "The version of this process, and its role."
    )
    return found | {build}


def gauges(*, tenants: bool = False) -> Iterator[Metric]:
    """What the collectors yield while every server answers."""
    yield from queue.ledger_families((LEDGER, SUMS), tenants=tenants)
    yield from queue.broker_families({"generate": 1, "deliver": 0})
    yield from ConnectionCollector(unconnected).collect()


def unconnected() -> Database:
    """A pool that never connects."""
    engine = create_engine("postgresql+psycopg://127.0.0.1:9/none")
    return Database(engine, ring_nothing, Pulse(on_silence=engine.dispose), Turnstile(1, 1.0), {})


def _known(family: Metric, labels: Any) -> KnownMetric:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return KnownMetric(name, family.type, tuple(labels), family.documentation)
