"""The list of jobs, with its filters. A filter that is wrong keeps what was typed, and says what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError, validate_call

from api.access.caller import Caller
from api.jobs import routes
from api.jobs.listing import query
from api.jobs.schema import JobList
from api.page import answer
from api.page.session import PageReader
from api.page.state import of
from api.problem import Problem, described, invalid
from lengthwise.errors import InvalidInput, NotFound
from lengthwise.key import Scope
from lengthwise.kinds import KINDS
from lengthwise.ledger.jobs import search

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
    key_id: str = ""
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

    def wanted(self) -> search.JobFilter:
        """As ``GET /v1/jobs`` reads its parameters. Raises ``InvalidInput``."""
        named: dict[str, Any] = {name: value for name, value in self.given.items() if name not in ("since", "until")}
        if self.since:
            named["created_after"] = _begin_of(_day(self.since, "since"))
        if self.until:
            named["created_before"] = _begin_of(_day(self.until, "until") + timedelta(days=1))
        try:
            return _read(**named)
        except ValidationError as error:
            raise invalid(error) from None


#: Checks the parameters as the API does, by the types of its own function.
_read = validate_call(query.read)


def _day(typed: str, field: str) -> date:
    try:
        return min(date.fromisoformat(typed), date.max - timedelta(days=1))
    except ValueError:
        raise InvalidInput("must be a day, such as 2031-01-31", field) from None


def _begin_of(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


@router.get("")
def listing(request: Request, tenant: PageReader) -> Response:
    """The tenant's jobs, the newest first."""
    viewer: Caller = request.state.caller
    filters = FilterForm.of(request.query_params)
    wrong: Problem | None = None
    found = JobList(data=[], has_more=False, next_after=None)
    try:
        after = request.query_params.get("after") or None
        found = routes.jobs(request, tenant, filters.wanted(), after=after, limit=PAGE_JOBS)
    except (InvalidInput, NotFound) as error:
        wrong = described(error)
    return answer.page(
        request,
        "jobs.html",
        wrong.status if wrong else 200,
        jobs=found.data,
        next_query=filters.query(after=found.next_after) if found.next_after else None,
        first_query=filters.query() if request.query_params.get("after") else None,
        filters=filters,
        states=STATES,
        kinds=sorted(KINDS.usable()),
        models=sorted(of(request).catalog.models),
        wrong=wrong,
        may_act=viewer.may(Scope.SUBMIT),
    )
