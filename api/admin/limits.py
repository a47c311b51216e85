"""How much of each of its limits a tenant uses, by the very queries that refuse what goes beyond them.

Tokens are those of this process's backlog, which may be some seconds old. Everything else is read anew.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.access.auth import Reader
from api.http import document
from api.jobs.backlog import Filling
from api.jobs.state import JobsState, of
from lengthwise.database import translated
from lengthwise.ledger.accounts import rate, tenant
from lengthwise.ledger.accounts.tenant import TenantRow, in_force
from lengthwise.ledger.queue import pending
from lengthwise.ledger.webhooks import endpoint

router = APIRouter(prefix="/v1", tags=["tenants"], responses=document.KEY_ERRORS)

LimitName = Literal["open_jobs", "pending_tokens", "requests_per_minute", "webhook_endpoints"]


class _Wording(NamedTuple):
    """What is limited, what a full limit refuses, and until when."""

    what: str
    refused: str
    until: str


_WORDINGS: dict[LimitName, _Wording] = {
    "open_jobs": _Wording("open jobs", "new jobs are refused", "until one ends"),
    "pending_tokens": _Wording("input tokens that wait or run", "new jobs are refused", "until some are done"),
    "requests_per_minute": _Wording("requests a minute", "further ones are refused", "until the allowance refills"),
    "webhook_endpoints": _Wording("webhook endpoints", "new ones are refused", "until one is deleted"),
}


class LimitUse(BaseModel):
    used: int | None = Field(description="Null for requests without a limit, which nobody counts.")
    at_least: bool = Field(description="Whether it is more: open jobs are counted to their limit, or to a thousand.")
    limit: int | None = Field(description="The tenant's own, or that of the settings. Null if there is none.")
    message: str | None = Field(description="What is refused now. Null while the limit is not reached.")


class Limits(BaseModel):
    """The limits of one tenant that are in force, and how much of each is in use."""

    object: Literal["limits"] = "limits"
    open_jobs: LimitUse
    pending_tokens: LimitUse
    requests_per_minute: LimitUse
    webhook_endpoints: LimitUse
    installation: str | None = Field(
        description="Why no job of any tenant is taken now: all tenants together have too much waiting. Else null."
    )

    def reached(self) -> list[str]:
        """What each limit refuses that is reached."""
        uses = (self.open_jobs, self.pending_tokens, self.requests_per_minute, self.webhook_endpoints)
        return [each for each in (*(use.message for use in uses), self.installation) if each is not None]


class ReachedLimit(NamedTuple):
    """A limit that refuses work now. Its tenant is None where that is clear, or where it is the installation's."""

    message: str
    tenant_id: UUID | None = None
    tenant_name: str | None = None


@router.get("/limits", response_model=Limits, responses=document.problems())
def own_limits(request: Request, tenant_id: Reader) -> Limits:
    """The limits of the key's tenant, and how much of each is in use."""
    return _of_one(of(request), tenant_id)


def _of_one(state: JobsState, tenant_id: UUID) -> Limits:
    with translated(), state.database.begin() as connection:
        row = tenant.find(connection, tenant_id)
    [found] = read(state, [row])
    return found


def read(state: JobsState, rows: Sequence[TenantRow]) -> list[Limits]:
    """Those of each of these tenants. Raises ``Unavailable``."""
    state.backlog.refresh()
    current = state.settings
    max_jobs = {row.id: in_force(row.max_open_jobs, current.max_open_jobs) for row in rows}
    max_requests = {row.id: in_force(row.max_requests_per_minute, current.max_requests_per_minute) for row in rows}
    with translated(), state.database.begin() as connection:
        jobs = pending.count_open_jobs(connection, max_jobs)
        limited = {each: limit for each, limit in max_requests.items() if limit is not None}
        requests = rate.count_used(connection, limited)
        endpoints = endpoint.count_by_tenant(connection, list(max_jobs))
    installation = _of_installation(state)
    return [
        Limits(
            open_jobs=_use("open_jobs", jobs[row.id].n_open, max_jobs[row.id], at_least=jobs[row.id].at_least),
            pending_tokens=_use("pending_tokens", *state.backlog.tokens_of(row.id)),
            requests_per_minute=_use("requests_per_minute", requests.get(row.id), max_requests[row.id]),
            webhook_endpoints=_use("webhook_endpoints", endpoints[row.id], current.max_webhook_endpoints),
            installation=installation,
        )
        for row in rows
    ]


def _use(name: LimitName, used: int | None, limit: int | None, *, at_least: bool = False) -> LimitUse:
    is_full = used is not None and limit is not None and used >= limit
    said = message(name, Filling(used or 0, limit or 0)) if is_full else None
    return LimitUse(used=used, at_least=at_least, limit=limit, message=said)


def message(name: LimitName, full: Filling) -> str:
    """What a limit that is reached refuses, and until when: for good if it allows nothing."""
    worded = _WORDINGS[name]
    until = f" {worded.until}" if full.limit else ""
    return f"{full.used:,} of {full.limit:,} {worded.what}; {worded.refused}{until}"


def _of_installation(state: JobsState) -> str | None:
    """As a refused caller hears it, who learns as little of the others."""
    tokens = state.backlog.tokens_of_all()
    if not tokens.is_full:
        return None
    return f"all tenants together have {tokens.limit:,} or more input tokens waiting; new jobs are refused for now"


def reached_by(state: JobsState, tenant_id: UUID) -> list[ReachedLimit]:
    """What refuses work of this tenant now. Raises ``Unavailable``.

    Endpoints are no work: a tenant may have as many as it may for good.
    """
    found = _of_one(state, tenant_id)
    return [ReachedLimit(each) for each in found.reached() if each != found.webhook_endpoints.message]


def reached_by_any(state: JobsState, *, most: int) -> list[ReachedLimit]:
    """What refuses work of any tenant now, at most so many of them. Raises ``Unavailable``.

    It costs the same for any number of jobs: open jobs are those of the backlog, like tokens.
    """
    state.backlog.refresh()
    default = state.settings.max_requests_per_minute
    with translated(), state.database.begin() as connection:
        used_up = rate.find_used_up(connection, default, most=most)
        full: dict[LimitName, dict[UUID, Filling]] = {
            "open_jobs": state.backlog.full_of_jobs(),
            "pending_tokens": state.backlog.full_of_tokens(),
            "requests_per_minute": {each: Filling(limit, limit) for each, limit in used_up.items()},
        }
        first = sorted((each, name) for name, tenants in full.items() for each in tenants)[:most]
        names = tenant.find_names(connection, [each for each, _ in first])
    of_tenants = [
        ReachedLimit(message(name, full[name][each]), each, names[each]) for each, name in first if each in names
    ]
    of_all = _of_installation(state)
    return ([] if of_all is None else [ReachedLimit(of_all)]) + of_tenants
