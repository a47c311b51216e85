"""When a job would end: the speed of its model at present, and what is served before it."""

from typing import Literal
from uuid import UUID

from sqlalchemy import Connection

from api.intake.intake import SEVERAL
from api.jobs.estimates.schema import EstimatedSpeed
from api.jobs.order import Order
from lengthwise.errors import ConfigurationError
from lengthwise.ledger.queue import ahead, speed
from lengthwise.ledger.queue.ahead import QueuedTokens
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.listing import load_report
from lengthwise.states import Priority


def speed_of(connection: Connection, spec: ModelSpec) -> EstimatedSpeed:
    """What the model did in the last minute; if that is too little to say, what a trial of it measured.

    What workers report of themselves is no measure: a minute in which they waited makes them seem slow.
    """
    if (found := speed.measured(connection, spec.name)) is not None:
        return _speed(found, "measured")
    if (found := _of_trial(spec)) is not None:
        return _speed(found, "trial")
    reason = (
        f"{spec.name} has worked for less than 10 s in the last minute, and no trial measured it where the API runs: "
        f"`lengthwise model check {spec.name}` measures it"
    )
    return EstimatedSpeed(tokens_per_second=None, source=None, reason=reason)


def tokens_ahead(connection: Connection, tenant: UUID, order: Order, n_tokens: int) -> int:
    """The tokens that would run before the job's last one. A batch of several models counts as one of this model."""
    priority = int(Priority[order.header.priority.upper()])
    own = QueuedTokens(tenant, priority, ahead.weight_of(connection, tenant), n_tokens)
    queued = ahead.read(connection, [order.target.spec.name, SEVERAL], priority)
    return ahead.tokens_ahead(own, queued)


def _speed(tokens_per_second: float, source: Literal["measured", "trial"]) -> EstimatedSpeed:
    return EstimatedSpeed(tokens_per_second=round(tokens_per_second, 1), source=source, reason=None)


def _of_trial(spec: ModelSpec) -> float | None:
    try:
        figures = load_report.read(spec.folder)
    except ConfigurationError:
        return None
    return (figures.tokens_per_second or None) if figures else None
