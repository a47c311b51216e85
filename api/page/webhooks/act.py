"""Sending webhooks again, and disabling and testing endpoints: first a page that asks, then what the API does."""

import logging
import re
from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api.access import caller
from api.http import form
from api.http.form import Fields
from api.http.identifier import identifier
from api.page import answer
from api.page.session import PageWebhookKeeper
from api.problem import Problem, described, invalid
from api.webhooks import delivery, routes
from api.webhooks.schema import EndpointChange, Replay
from lengthwise.errors import Conflict, InvalidInput

log = logging.getLogger(__name__)
router = APIRouter(prefix="/page/webhooks", include_in_schema=False)

#: By act, what it is done with.
ACTS = {
    "resend": "delivery",
    "test": "endpoint",
    "replay": "endpoint",
    "disable": "endpoint",
    "enable": "endpoint",
}
#: The end of a time that names its zone. A browser's field names none, and is labelled UTC.
_ZONED = re.compile(r"(?:Z|[+-]\d\d:\d\d)\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class WebhookAct:
    """What a form asks for. ``replay`` says what to send again, and is None for all other acts."""

    name: str
    #: Of the delivery or the endpoint.
    id: UUID
    replay: Replay | None = None

    @property
    def of(self) -> str:
        """``delivery`` or ``endpoint``."""
        return ACTS[self.name]

    @property
    def path(self) -> str:
        """The page of what it is done with."""
        return f"/page/webhooks/{'deliveries/' if self.of == 'delivery' else ''}{self.id}"


@router.post("/confirm")
async def confirm(request: Request, tenant: PageWebhookKeeper) -> Response:
    """Asks before anything is done."""
    return await _asked(request, tenant, _wanted(await form.read_fields(request)))


@router.post("/act")
async def act(request: Request, tenant: PageWebhookKeeper) -> Response:
    """Does it. If the endpoint's state does not allow it, the question stays, and says so."""
    wanted = _wanted(await form.read_fields(request))
    try:
        done = await _done(request, tenant, wanted)
    except Conflict as error:
        return await _asked(request, tenant, wanted, described(error))
    log.info("on the page, the key %s did %s with the %s %s", caller.key_id(), wanted.name, wanted.of, wanted.id)
    return done


def _wanted(given: Fields) -> WebhookAct:
    """Raises ``InvalidInput`` and ``NotFound``."""
    name = given.get("act", [""])[0]
    if name not in ACTS:
        raise InvalidInput(f"must be one of {', '.join(ACTS)}", "act")
    what = "delivery" if ACTS[name] == "delivery" else "webhook endpoint"
    return WebhookAct(name, identifier(given.get("id", [""])[0], what), _replay(given) if name == "replay" else None)


def _replay(given: Fields) -> Replay:
    since = given.get("since", [""])[0].strip()
    named = since if _ZONED.search(since) else f"{since}Z"
    try:
        return Replay.model_validate({"since": named, "only_failed": "only_failed" in given})
    except ValidationError as error:
        raise invalid(error) from None


async def _asked(request: Request, tenant: UUID, wanted: WebhookAct, wrong: Problem | None = None) -> Response:
    """The question, with the receiver's URL. Raises ``NotFound`` for what is not the tenant's."""
    if wanted.of == "delivery":
        url = (await run_in_threadpool(delivery.delivery, request, tenant, wanted.id))["url"]
    else:
        url = (await run_in_threadpool(routes.endpoint, request, tenant, wanted.id)).url
    status = wrong.status if wrong else 200
    return answer.page(request, "webhooks/confirm.html", status, wanted=wanted, url=url, wrong=wrong)


async def _done(request: Request, tenant: UUID, wanted: WebhookAct) -> Response:
    """Raises ``Conflict``, ``NotFound`` and ``Unavailable``."""
    if wanted.replay is not None:
        count = await run_in_threadpool(routes.replay, request, tenant, wanted.id, wanted.replay)
        return answer.page(request, "webhooks/replayed.html", wanted=wanted, count=count)
    if wanted.name == "resend":
        await run_in_threadpool(delivery.resend, request, tenant, wanted.id)
    elif wanted.name == "test":
        sent = await run_in_threadpool(routes.send_test, request, tenant, wanted.id)
        return answer.redirect(f"/page/webhooks/deliveries/{sent['id']}")
    else:
        await routes.change(request, tenant, wanted.id, EndpointChange(enabled=wanted.name == "enable"))
    return answer.redirect(wanted.path)
