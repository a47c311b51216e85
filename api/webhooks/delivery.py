"""Routes of webhook deliveries: look at one and its attempts, or send it again."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from api.access.auth import WebhookKeeper
from api.http import document
from api.http.identifier import identifier
from api.jobs.schema import Delivery
from api.state import of
from lengthwise.database import translated
from lengthwise.ledger.webhooks import delivery_log

router = APIRouter(prefix="/v1/deliveries", tags=["webhooks"], responses=document.KEY_ERRORS)


def _id(delivery_id: str) -> UUID:
    return identifier(delivery_id, "delivery")


Id = Annotated[UUID, Depends(_id)]


@router.get("/{delivery_id}", response_model=Delivery, responses=document.problems(404))
def delivery(request: Request, tenant: WebhookKeeper, delivery_id: Id) -> dict[str, Any]:
    """One webhook, with the outcome of each attempt."""
    with translated(), of(request).database.begin() as connection:
        return delivery_log.find(connection, delivery_id, tenant)


@router.post(
    "/{delivery_id}/resend", status_code=202, response_model=Delivery, responses=document.problems(404, 409, 507)
)
def resend(request: Request, tenant: WebhookKeeper, delivery_id: Id) -> dict[str, Any]:
    """Sends the webhook again, under the same webhook-id. Its schedule of attempts begins anew.

    If its endpoint is disabled, the answer is 409.
    """
    with translated(), of(request).database.begin() as connection:
        return delivery_log.resend(connection, delivery_id, tenant)
