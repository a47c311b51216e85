"""The room of the workers: what each of them does, what it holds, and what went wrong with it."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from api.access import auth
from api.admin import workers
from api.admin.workers import WorkerProcess
from api.page import answer, stream
from api.page.live import Frame
from api.page.session import PageAdmin
from lengthwise.states import WorkerRole, WorkerState

router = APIRouter(prefix="/page", include_in_schema=False)

#: Processes of one page, which is sent again at each change. ``GET /v1/workers`` has all of them.
_MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Workforce:
    """Every process as it last reported itself, the lost ones last."""

    processes: list[WorkerProcess]

    @property
    def shown(self) -> list[WorkerProcess]:
        return self.processes[:_MOST_SHOWN]

    @property
    def n_hidden(self) -> int:
        return len(self.processes) - len(self.shown)

    @property
    def live(self) -> list[WorkerProcess]:
        """Those that are not lost."""
        return [each for each in self.processes if each.state is not WorkerState.LOST]

    @property
    def n_lost(self) -> int:
        return len(self.processes) - len(self.live)

    @property
    def n_working(self) -> int:
        return sum(each.state is WorkerState.WORKING for each in self.processes)

    @property
    def items_per_second(self) -> float:
        """What runs models settles; webhooks are no items."""
        return sum(each.items_per_second for each in self.live if each.role is WorkerRole.GENERATE)

    @property
    def memory_bytes(self) -> int:
        """Of all models that live workers hold, as far as their engines know it."""
        return sum(self.memory_of(each) for each in self.live)

    def memory_of(self, process: WorkerProcess) -> int:
        """Bytes of the models that it holds; 0 if it holds none, or its engine does not know."""
        return sum(model.memory_bytes or 0 for model in process.models if model.state == "loaded")


@router.get("/workers")
def show(request: Request, tenant: PageAdmin) -> Response:
    found = Workforce(workers.workers(request, tenant).data)
    return answer.page(request, "operate/workers.html", workforce=found)


@router.get("/events/workers")
async def events(request: Request, tenant: PageAdmin) -> Response:
    """The list, again and again."""
    auth.require_operator(tenant)

    def frame() -> Frame:
        found = Workforce(workers.workers(request, tenant).data)
        return Frame(answer.rendered("operate/workers_live.html", workforce=found))

    return stream.events(request, "workers", frame)
