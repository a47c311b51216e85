"""The list of webhook endpoints, one endpoint with its deliveries, and one delivery with its attempts."""

from datetime import UTC
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.access.caller import Caller
from api.jobs.schema import Delivery
from api.page import answer
from api.page.session import PageWebhookKeeper
from api.page.state import of
from api.webhooks import delivery, routes
from api.webhooks.schema import DeliveryPage
from lengthwise.errors import InvalidInput
from lengthwise.key import Scope

router = APIRouter(prefix="/page/webhooks", include_in_schema=False)

_MOST_ENDPOINTS = 100
_MOST_DELIVERIES = 50
#: What the list of deliveries can be filtered by.
_STATES: dict[str, Literal["pending", "delivered", "failed"]] = {
    "pending": "pending",
    "delivered": "delivered",
    "failed": "failed",
}


@router.get("")
def listing(request: Request, tenant: PageWebhookKeeper) -> Response:
    """The tenant's endpoints, the newest first."""
    after = request.query_params.get("after") or None
    found = routes.endpoints(request, tenant, after, _MOST_ENDPOINTS)
    return answer.page(
        request,
        "webhooks/endpoints.html",
        endpoints=found.data,
        is_first=after is None,
        next_after=found.data[-1].id if found.has_more else None,
    )


@router.get("/{endpoint_id}")
def show(request: Request, tenant: PageWebhookKeeper, endpoint_id: routes.Id) -> Response:
    """One endpoint, and its deliveries of one state or of all, the newest first."""
    typed, after = request.query_params.get("state", ""), request.query_params.get("after") or None
    if typed and typed not in _STATES:
        raise InvalidInput(f"must be one of {', '.join(_STATES)}", "state")
    found = routes.endpoint(request, tenant, endpoint_id)
    page = DeliveryPage.model_validate(
        routes.deliveries(request, tenant, endpoint_id, _STATES.get(typed), after, _MOST_DELIVERIES)
    )
    return answer.page(
        request,
        "webhooks/endpoint.html",
        endpoint=found,
        failing_seconds=of(request).settings.webhook_failing_seconds,
        deliveries=page.data,
        states=list(_STATES),
        state=typed,
        is_first=after is None,
        next_query=_query(typed, page.data[-1].id) if page.has_more else None,
        # In the form of the browser's field. Everything that failed was written later.
        replay_since=found.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    )


@router.get("/deliveries/{delivery_id}")
def show_delivery(request: Request, tenant: PageWebhookKeeper, delivery_id: delivery.Id) -> Response:
    """One delivery: that of an endpoint, or of a job's own webhook."""
    viewer: Caller = request.state.caller
    found = Delivery.model_validate(delivery.delivery(request, tenant, delivery_id))
    return answer.page(request, "webhooks/delivery.html", delivery=found, may_read=viewer.may(Scope.READ))


def _query(state: str, after: UUID) -> str:
    return urlencode({"state": state, "after": str(after)} if state else {"after": str(after)})
