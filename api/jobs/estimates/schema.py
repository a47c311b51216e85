"""The JSON of an estimate."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.jobs.schema import PriorityName


class EstimatedSpeed(BaseModel):
    tokens_per_second: float | None = Field(
        description="Of this model, over all workers: input tokens. A trial counts written ones too."
    )
    source: Literal["measured", "trial"] | None = Field(
        description="What this model did in the last minute, or the trial of one worker in which `lengthwise model "
        "add` or `check` measured it."
    )
    reason: str | None = Field(description="Why there is no speed; null if there is one.")


class EstimateRefusal(BaseModel):
    status: Literal[413, 429]
    detail: str
    retry_after: int | None = Field(description="After so many seconds the job may be taken; null if never.")


class Estimate(BaseModel):
    object: Literal["estimate"] = "estimate"
    kind: str
    model: str
    priority: PriorityName
    items: int
    measured_items: int = Field(description="Items that were read. If there are more, they are taken to be like these.")
    failing_items: int = Field(description="Items that would fail at once, such as those that are too long.")
    input_tokens: int = Field(description="Of the items that would run.")
    padded_tokens: int = Field(description="The same with the padding of batches in order of length, about.")
    padded_tokens_arrival_order: int = Field(description="What this would be in the order of arrival.")
    shards: int = Field(description="Shards that would run.")
    speed: EstimatedSpeed
    tokens_ahead: int = Field(
        description="Input tokens that would run before the last one of this job: what is more urgent, the tenant's "
        "earlier jobs, and meanwhile the shares of other tenants."
    )
    own_seconds: float | None = Field(description="At this speed, for this job alone.")
    seconds: float | None = Field(description="With what is ahead of it. Both are null if there is no speed.")
    estimated_end_at: datetime | None
    refusals: list[EstimateRefusal] = Field(description="Why this job would be refused now; empty if it would not.")
