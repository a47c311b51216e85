"""The overview: how much is done, what waits, who works, and how well it goes.

The operator's keys, which are admin keys of the first tenant, see the whole installation. All others see what is their
tenant's: nobody learns from this page how much others have to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from api.access.auth import DEFAULT
from api.access.caller import Caller
from api.admin import limits, readiness, workers
from api.admin.limits import ReachedLimit
from api.admin.workers import WorkerProcess, WorkersModel
from api.jobs.view import PRIORITY_NAMES
from api.page import answer, plot, room, stream
from api.page.live import Frame
from api.page.session import PageReader, PageVisitor
from api.page.state import of
from lengthwise.database import translated
from lengthwise.key import Scope
from lengthwise.ledger import workers as presence
from lengthwise.ledger.jobs import lately
from lengthwise.ledger.jobs.lately import EndedWork
from lengthwise.ledger.queue import open_work, work_rate
from lengthwise.ledger.queue.open_work import OpenJobs
from lengthwise.ledger.queue.work_rate import WorkRate
from lengthwise.states import Priority, WorkerRole, WorkerState

router = APIRouter(prefix="/page", include_in_schema=False)

_HOUR = 3_600
#: The hour's intervals are drawn as so many points.
_POINTS = 60
#: Processes that are shown as tiles; the room of workers shows all.
_MOST_TILES = 60
#: Limits of tenants that are named; the room of tenants shows all.
_MOST_LIMITS = 5


class Waiting(NamedTuple):
    """Open work as it is shown."""

    priority: str
    work: OpenJobs


@dataclass(frozen=True, slots=True)
class Overview:
    """What one look shows. The rates, the troubles and the tiles are None for those who see their own tenant alone."""

    #: Those that are reached: of the tenant, or of any.
    limits: list[ReachedLimit]
    waiting: list[Waiting]
    ended: EndedWork
    rates: list[WorkRate] | None
    #: What keeps work from being done, as ``/readyz`` says it.
    troubles: list[str] | None
    tiles: list[WorkerProcess] | None

    @property
    def shown_limits(self) -> list[ReachedLimit]:
        return self.limits[:_MOST_LIMITS]

    @property
    def has_more_limits(self) -> bool:
        return len(self.limits) > _MOST_LIMITS

    @property
    def n_items_left(self) -> int:
        return sum(each.work.n_items for each in self.waiting)

    @property
    def seconds_left(self) -> float | None:
        """How long the open work takes at the present rate. None if that says nothing."""
        if not self.items_per_second or any(each.work.is_capped for each in self.waiting):
            return None
        return self.n_items_left / self.items_per_second

    @property
    def n_generating(self) -> int:
        """Live workers that run models."""
        return sum(each.role is WorkerRole.GENERATE and each.state is not WorkerState.LOST for each in self.tiles or [])

    @property
    def broken(self) -> list[WorkersModel]:
        """Models that a live worker could not load, each once."""
        live = [each for each in self.tiles or [] if each.state is not WorkerState.LOST]
        found = {model.name: model for each in live for model in each.models if model.state == "failed"}
        return [found[name] for name in sorted(found)]

    @property
    def oldest_at(self) -> datetime | None:
        return min((each.work.oldest_at for each in self.waiting), default=None)

    @property
    def n_hidden(self) -> int:
        """Processes beyond the tiles."""
        return max(0, len(self.tiles or []) - _MOST_TILES)

    @property
    def shown_tiles(self) -> list[WorkerProcess]:
        return (self.tiles or [])[:_MOST_TILES]

    @property
    def items_per_second(self) -> float:
        return _latest([(rate, rate.n_items) for rate in self.rates or []])

    @property
    def tokens_per_second(self) -> float:
        return _latest([(rate, rate.n_tokens) for rate in self.rates or []])

    def item_plot(self) -> Markup:
        return _plotted("Items a second over the last hour", [(rate, rate.n_items) for rate in self.rates or []])

    def token_plot(self) -> Markup:
        return _plotted("Tokens a second over the last hour", [(rate, rate.n_tokens) for rate in self.rates or []])


def look(request: Request, tenant: UUID | None) -> Overview:
    """Reads all of it; with None, that of the whole installation."""
    state = of(request)
    if tenant is None:
        reached = limits.reached_by_any(state, most=_MOST_LIMITS + 1)
    else:
        reached = limits.reached_by(state, tenant)
    with translated(), state.database.begin() as connection:
        waiting = open_work.by_priority(connection, tenant)
        ended = lately.sum_ended(connection, tenant)
        named = [Waiting(PRIORITY_NAMES[Priority(each.priority)], each) for each in waiting]
        if tenant is not None:
            return Overview(reached, named, ended, None, None, None)
        rates = work_rate.read(connection, seconds=_HOUR)
        live = presence.find_live(connection, presence_seconds=state.settings.presence_seconds)
    troubles = readiness.reasons(live, state.catalog.models)
    return Overview(reached, named, ended, rates, troubles, workers.workers(request, DEFAULT).data)


@router.get("")
def overview(request: Request, tenant: PageVisitor) -> Response:
    """Everybody comes here first. Keys that may not see it go on to the first room that they may see."""
    viewer: Caller = request.state.caller
    if not viewer.may(Scope.READ):
        return answer.redirect(room.first_of(viewer))
    found = look(request, None if room.is_operator(viewer) else tenant)
    return answer.page(request, "overview.html", overview=found)


@router.get("/events/overview")
async def events(request: Request, tenant: PageReader) -> Response:
    """The changing part of the overview, again and again."""
    whose = None if room.is_operator(request.state.caller) else tenant

    def frame() -> Frame:
        return Frame(answer.rendered("overview_live.html", overview=look(request, whose)))

    return stream.events(request, ("overview", whose), frame)


def _latest(done: Sequence[tuple[WorkRate, int]]) -> float:
    """The mean rate of the last minute's intervals."""
    since = datetime.now(UTC) - timedelta(seconds=60 + work_rate.INTERVAL_SECONDS)
    last = [(rate.seconds, n) for rate, n in done if rate.at >= since]
    seconds = sum(each for each, _ in last)
    return sum(n for _, n in last) / seconds if seconds else 0.0


def _plotted(title: str, done: Sequence[tuple[WorkRate, int]]) -> Markup:
    """A point for each minute. A minute in which no sweep looked interrupts the line."""
    now = datetime.now(UTC)
    begin = now - timedelta(seconds=_HOUR)
    sums = [0] * _POINTS
    seconds = [0.0] * _POINTS
    for rate, n in done:
        at = min(_POINTS - 1, max(0, int((rate.at - begin).total_seconds() * _POINTS / _HOUR)))
        sums[at] += n
        seconds[at] += rate.seconds
    points = [
        plot.Point((at + 0.5) / _POINTS, sums[at] / seconds[at] if seconds[at] else None) for at in range(_POINTS)
    ]
    return plot.line(title, points, ["1 h ago", "45 min", "30 min", "15 min", "now"])
