"""Cancelling and retrying jobs, one or many: first a page that asks, then what became of each."""

import logging
from typing import NamedTuple
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.access import caller
from api.http import form
from api.http.form import Fields
from api.http.identifier import identifier
from api.jobs import backpressure, retry, routes
from api.page import answer
from api.page.session import PageSubmitter
from api.problem import EXPECTED, described
from lengthwise.errors import InvalidInput

log = logging.getLogger(__name__)
router = APIRouter(prefix="/page/jobs", include_in_schema=False)

#: The most jobs of one act: two pages of the list.
_MOST = 100
ACTS = ("cancel", "retry")


class Wanted(NamedTuple):
    """What a form asks for. ``once`` names the form, so that sending it twice retries a job once."""

    act: str
    jobs: list[str]
    once: str


class Outcome(NamedTuple):
    """What became of one job: the job that retries it, if any, or what was wrong."""

    job: str
    new_job: str | None
    wrong: str | None


@router.post("/confirm")
async def confirm(request: Request, _: PageSubmitter) -> Response:
    """Asks before anything is done. Jobs that are not the tenant's are found out then."""
    wanted = _wanted(await form.read_fields(request))
    return answer.page(request, "confirm.html", wanted=wanted)


@router.post("/act")
async def act(request: Request, tenant: PageSubmitter) -> Response:
    """Does it, job by job. One that fails keeps no other from being tried."""
    wanted = _wanted(await form.read_fields(request))
    outcomes = [await _outcome(request, tenant, wanted, job) for job in wanted.jobs]
    if len(outcomes) == 1 and outcomes[0].wrong is None:
        return answer.redirect(f"/page/jobs/{outcomes[0].new_job or outcomes[0].job}")
    return answer.page(request, "outcome.html", wanted=wanted, outcomes=outcomes)


def _wanted(given: Fields) -> Wanted:
    """Raises ``InvalidInput`` and ``NotFound``."""
    named = given.get("act", [""])[0]
    jobs = list(dict.fromkeys(given.get("job", [])))
    once = given.get("once", [""])[0] or str(uuid4())
    if named not in ACTS:
        raise InvalidInput("must be cancel or retry", "act")
    if not 1 <= len(jobs) <= _MOST:
        raise InvalidInput(f"choose 1 to {_MOST} jobs", "job")
    return Wanted(named, [str(identifier(job)) for job in jobs], str(identifier(once, "form")))


async def _outcome(request: Request, tenant: UUID, wanted: Wanted, job: str) -> Outcome:
    try:
        new_job = None
        if wanted.act == "cancel":
            await run_in_threadpool(routes.cancel_job, request, tenant, job)
        else:
            new_job = await _retry(request, tenant, wanted, job)
    except EXPECTED as error:
        return Outcome(job, None, described(error).detail)
    log.info("on the page, the key %s did %s with the job %s", caller.key_id(), wanted.act, job)
    return Outcome(job, new_job, None)


async def _retry(request: Request, tenant: UUID, wanted: Wanted, job: str) -> str:
    key = f"page-{wanted.once}-{job}"
    await backpressure.admit(request, tenant, key)
    return (await retry.retry(request, tenant, job, key, Response())).id
