"""Routes of webhook endpoints: receivers that are registered once and get the events that they subscribe to."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool

from api.access.auth import WebhookKeeper
from api.http import document, json_body
from api.http.identifier import identifier
from api.jobs.schema import Delivery
from api.state import State, of
from api.webhooks.schema import (
    CreatedEndpoint,
    DeliveryPage,
    Endpoint,
    EndpointChange,
    EndpointList,
    NewEndpoint,
    Replay,
    ReplayCount,
    SecretRotation,
)
from lengthwise.database import translated
from lengthwise.kinds import result_fields
from lengthwise.ledger.webhooks import delivery_log
from lengthwise.ledger.webhooks import endpoint as ledger
from lengthwise.webhooks import condition, subscription
from lengthwise.webhooks.secret import check_secret

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"], responses=document.KEY_ERRORS)

_WHAT = "webhook endpoint"
_EXAMPLE = {"url": "https://example.com/hooks/lengthwise", "events": ["job.results"], "filter": "flagged == true"}


def _id(endpoint_id: str) -> UUID:
    return identifier(endpoint_id, _WHAT)


Id = Annotated[UUID, Depends(_id)]


@router.post(
    "",
    status_code=201,
    openapi_extra=json_body.documented(NewEndpoint, _EXAMPLE),
    responses=document.problems(400, 409, 413, 415, 422, 507),
)
async def create(
    request: Request, tenant: WebhookKeeper, wanted: Annotated[NewEndpoint, Depends(json_body.reader(NewEndpoint))]
) -> CreatedEndpoint:
    """Registers a receiver. Only this answer has its secret.

    A tenant has a limited number of endpoints; beyond it the answer is 409.
    """
    state = of(request)
    await run_in_threadpool(_check, state, wanted.events, wanted.filter, wanted.secret)
    await state.hosts.check(tenant, wanted.url)
    return await run_in_threadpool(_create, state, tenant, wanted)


def _create(state: State, tenant: UUID, wanted: NewEndpoint) -> CreatedEndpoint:
    given = ledger.EndpointValues(wanted.url, wanted.events, wanted.description, wanted.filter, wanted.enabled)
    with translated(), state.database.begin() as connection:
        limit = state.settings.max_webhook_endpoints
        made, secret = ledger.create(connection, tenant, given, wanted.secret, limit=limit)
    return CreatedEndpoint(**_shown(made), secret=secret)


def _check(state: State, events: list[str] | None, wanted: str | None, secret: str | None) -> None:
    """Raises ``InvalidInput``."""
    if events is not None:
        subscription.check(events)
    if wanted is not None:
        condition.parse(wanted, result_fields.known(state.catalog))
    if secret is not None:
        check_secret(secret)


def _shown(found: ledger.EndpointRow) -> dict[str, Any]:
    return {
        "id": found.id,
        "url": found.url,
        "description": found.description,
        "events": found.events,
        "filter": found.filter,
        "enabled": found.is_enabled,
        "disabled_reason": found.disabled_reason,
        "failing_since": found.failing_since,
        "public_key": found.public_key,
        "old_secret_until": found.old_until,
        "created_at": found.created_at,
    }


@router.get("", responses=document.problems(404, 422))
def endpoints(
    request: Request,
    tenant: WebhookKeeper,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> EndpointList:
    """The newest first; ``after`` is the id of the last one seen."""
    seen = None if after is None else _id(after)
    with translated(), of(request).database.begin() as connection:
        if seen is not None:
            ledger.find(connection, seen, tenant)
        found = ledger.page(connection, tenant, seen, limit + 1)
    return EndpointList(data=[Endpoint(**_shown(each)) for each in found[:limit]], has_more=len(found) > limit)


@router.get("/{endpoint_id}", responses=document.problems(404))
def endpoint(request: Request, tenant: WebhookKeeper, endpoint_id: Id) -> Endpoint:
    """One endpoint: its events, and whether it is failing or disabled."""
    with translated(), of(request).database.begin() as connection:
        return Endpoint(**_shown(ledger.find(connection, endpoint_id, tenant)))


@router.patch(
    "/{endpoint_id}",
    openapi_extra=json_body.documented(EndpointChange, {"enabled": True}),
    responses=document.problems(400, 404, 413, 415, 422, 507),
)
async def change(
    request: Request,
    tenant: WebhookKeeper,
    endpoint_id: Id,
    wanted: Annotated[EndpointChange, Depends(json_body.reader(EndpointChange))],
) -> Endpoint:
    """Changes the fields that are given. Waiting deliveries go to the new URL; if it is disabled, they fail."""
    state = of(request)
    await run_in_threadpool(_check, state, wanted.events, wanted.filter, None)
    await state.hosts.check(tenant, wanted.url)
    return await run_in_threadpool(_change, state, tenant, endpoint_id, wanted)


def _change(state: State, tenant: UUID, endpoint_id: UUID, wanted: EndpointChange) -> Endpoint:
    changes = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    changes = {name: value for name, value in changes.items() if value is not None or name == "filter"}
    if "enabled" in changes:
        changes["is_enabled"] = changes.pop("enabled")
    with translated(), state.database.begin() as connection:
        return Endpoint(**_shown(ledger.change(connection, endpoint_id, tenant, changes)))


@router.delete("/{endpoint_id}", status_code=204, responses=document.problems(404, 507))
def delete(request: Request, tenant: WebhookKeeper, endpoint_id: Id) -> None:
    """Removes the endpoint and its deliveries."""
    with translated(), of(request).database.begin() as connection:
        ledger.delete(connection, endpoint_id, tenant)


@router.post(
    "/{endpoint_id}/rotate",
    openapi_extra=json_body.documented(SecretRotation, {"overlap_seconds": 3600}, may_be_empty=True),
    responses=document.problems(400, 404, 413, 415, 422, 507),
)
def rotate(
    request: Request,
    tenant: WebhookKeeper,
    endpoint_id: Id,
    wanted: Annotated[SecretRotation, Depends(json_body.reader(SecretRotation, may_be_empty=True))],
) -> CreatedEndpoint:
    """Makes new secrets. Until the overlap ends, every webhook is signed with the old ones, too."""
    if wanted.secret is not None:
        check_secret(wanted.secret)
    with translated(), of(request).database.begin() as connection:
        made, secret = ledger.rotate(
            connection, endpoint_id, tenant, wanted.secret, overlap_seconds=wanted.overlap_seconds
        )
    return CreatedEndpoint(**_shown(made), secret=secret)


@router.post(
    "/{endpoint_id}/test", status_code=202, response_model=Delivery, responses=document.problems(404, 409, 507)
)
def send_test(request: Request, tenant: WebhookKeeper, endpoint_id: Id) -> dict[str, Any]:
    """Sends an ``endpoint.test`` event, whatever the endpoint subscribed to."""
    with translated(), of(request).database.begin() as connection:
        delivery_id = ledger.send_test(connection, endpoint_id, tenant)
        return delivery_log.find(connection, delivery_id, tenant)


@router.get("/{endpoint_id}/deliveries", response_model=DeliveryPage, responses=document.problems(404, 422))
def deliveries(
    request: Request,
    tenant: WebhookKeeper,
    endpoint_id: Id,
    state: Literal["pending", "delivered", "failed"] | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """The newest first, with their attempts; ``after`` is the id of the last one seen."""
    seen = None if after is None else identifier(after, "delivery")
    with translated(), of(request).database.begin() as connection:
        ledger.find(connection, endpoint_id, tenant)
        if seen is not None:
            delivery_log.find(connection, seen, tenant)
        found = delivery_log.list_for_endpoint(connection, endpoint_id, state, seen, limit + 1)
    return {"data": found[:limit], "has_more": len(found) > limit}


@router.post(
    "/{endpoint_id}/replay",
    status_code=202,
    openapi_extra=json_body.documented(Replay, {"since": "2031-01-31T12:00:00Z"}),
    responses=document.problems(400, 404, 409, 413, 415, 422, 507),
)
def replay(
    request: Request,
    tenant: WebhookKeeper,
    endpoint_id: Id,
    wanted: Annotated[Replay, Depends(json_body.reader(Replay))],
) -> ReplayCount:
    """Sends deliveries again that were written since a time, the first 10,000 of them. Their webhook-ids stay.

    If the endpoint is disabled, the answer is 409.
    """
    with translated(), of(request).database.begin() as connection:
        ledger.find(connection, endpoint_id, tenant)
        found = delivery_log.replay(connection, endpoint_id, wanted.since, only_failed=wanted.only_failed)
    return ReplayCount(replayed=found.n_deliveries, next_since=found.next_since)
