"""The list of jobs, with its filters. A filter that is wrong keeps what was typed, and says what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from api.access.caller import Caller
from api.jobs import routes
from api.jobs.schema import JobList
from api.page import answer
from api.page.session import PageReader
from api.page.state import of
from api.problem import described
from lengthwise.errors import InvalidInput, NotFound
from lengthwise.key import Scope
from lengthwise.kinds import KINDS

router = APIRouter(prefix="/page/jobs", include_in_schema=False)

PAGE_JOBS = 50
STATES = ("queued", "running", "completed", "cancelled", "expired")
_MAX_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class FilterForm:
    """The filters as they were typed; an empty one is none. ``since`` and ``until`` are days, both included."""

    state: str = ""
    kind: str = ""
    model: str = ""
    tag: str = ""
    key: str = ""
    name: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "FilterForm":
        typed = {each.name: query.get(each.name, "").strip()[:_MAX_CHARACTERS] for each in fields(cls)}
        return cls(**typed)

    @property
    def given(self) -> dict[str, str]:
        """Those that are not empty, as they were typed."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name))}

    def query(self, **more: str) -> str:
        """The query of a link to this list."""
        return urlencode(self.given | more)

    def parameters(self) -> dict[str, Any]:
        """As the parameters of ``GET /v1/jobs``. Raises ``InvalidInput``."""
        found: dict[str, Any] = {name: value for name, value in self.given.items() if name not in ("since", "until")}
        if self.since:
            found["created_after"] = _begin_of(self.since, "since")
        if self.until:
            found["created_before"] = _begin_of(self.until, "until") + timedelta(days=1)
        return found


def _begin_of(day: str, field: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(day), time(), UTC)
    except ValueError:
        raise InvalidInput("must be a day, such as 2031-01-31", field) from None


@router.get("")
def listing(request: Request, tenant: PageReader) -> Response:
    """The tenant's jobs, the newest first."""
    viewer: Caller = request.state.caller
    filters = FilterForm.of(request.query_params)
    status, wrong = 200, None
    found = JobList(data=[], has_more=False)
    try:
        after = request.query_params.get("after") or None
        found = routes.jobs(request, tenant, after=after, limit=PAGE_JOBS, **filters.parameters())
    except (InvalidInput, NotFound) as error:
        problem = described(error)
        status, wrong = problem.status, problem
    return answer.page(
        request,
        "jobs.html",
        status,
        jobs=found.data,
        next_query=filters.query(after=found.data[-1].id) if found.has_more else None,
        first_query=filters.query() if request.query_params.get("after") else None,
        filters=filters,
        states=STATES,
        kinds=sorted(KINDS.usable()),
        models=sorted(of(request).catalog.models),
        wrong=wrong,
        may_act=viewer.may(Scope.SUBMIT),
    )
