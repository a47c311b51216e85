"""The JSON of webhook endpoints, in requests and answers."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.jobs.schema import Delivery, Time
from lengthwise.kinds.kind import RequestPart, Text
from lengthwise.webhooks.subscription import GROUPS, NAMES

_Url = Annotated[Text, Field(max_length=2000, examples=["https://example.com/hooks/lengthwise"])]
_Secret = Annotated[Text, Field(max_length=128)]
_Events = Annotated[
    list[Annotated[Text, Field(max_length=40)]],
    Field(min_length=1, max_length=20, description=f"Of {', '.join((*NAMES, *GROUPS))}."),
]
_Filter = Annotated[
    Text,
    Field(
        max_length=500,
        description="Which results job.results contains: a condition on their fields, such as those of the output.",
        examples=["flagged == true"],
    ),
]
_Description = Annotated[Text, Field(max_length=500)]


class NewEndpoint(RequestPart):
    url: _Url
    events: _Events
    filter: _Filter | None = None
    description: _Description = ""
    enabled: bool = True
    secret: _Secret | None = Field(
        default=None, description="whsec_ and base64. Without it a new secret is made, and only this answer shows it."
    )


class EndpointChange(RequestPart):
    """A field that is left out stays as it is."""

    url: _Url | None = None
    events: _Events | None = None
    filter: _Filter | None = Field(default=None, description="null removes the filter: every result is sent.")
    description: _Description | None = None
    enabled: bool | None = None


class SecretRotation(RequestPart):
    overlap_seconds: float = Field(
        default=86_400, ge=0, le=7 * 86_400, description="How long the old secrets still sign, beside the new ones."
    )
    secret: _Secret | None = Field(default=None, description="As for a new endpoint.")


class Replay(RequestPart):
    since: Time = Field(
        description="Deliveries that were written then or later are sent again.", examples=["2031-01-31T12:00:00Z"]
    )
    only_failed: bool = Field(default=False, description="Leaves out deliveries that arrived.")


class Endpoint(BaseModel):
    id: UUID
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    url: str
    description: str
    events: list[str]
    filter: str | None
    enabled: bool
    disabled_reason: str | None = Field(description="Why it is disabled, if it is.")
    failing_since: datetime | None = Field(description="The first failed attempt after the last that succeeded.")
    public_key: str = Field(description="whpk_ and base64: what verifies the signatures that begin with v1a.")
    old_secret_until: datetime | None = Field(description="After a rotation: until when the old secrets sign too.")
    created_at: datetime


class CreatedEndpoint(Endpoint):
    secret: str = Field(description="Only this answer shows it.")


class EndpointList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Endpoint]
    has_more: bool


class DeliveryPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[Delivery]
    has_more: bool


class ReplayCount(BaseModel):
    replayed: int
    next_since: datetime | None = Field(description="Pass it as since for the next 10,000, if there are more.")
