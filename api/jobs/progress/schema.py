"""The JSON of a job's progress."""

from datetime import datetime

from pydantic import BaseModel, Field

from lengthwise.states import Reason


class QueuePosition(BaseModel):
    """What workers claim before the job's first shard that waits."""

    shards: int
    tokens: int
    tenants: int
    at_least: bool = Field(description="Whether there may be more: only the head of the queue is looked at.")
    share: float = Field(description="The share of the work that the job's tenant gets while these tenants have some.")


class ErrorCount(BaseModel):
    """Failed items of one error code."""

    code: str
    message: str | None = Field(description="What the code means, and what to do; null if the code is not ours.")
    count: int
    at_least: bool = Field(description="Whether there may be more: only some of the failed items are looked at.")
    first_items: list[str] = Field(
        description="The first of these items: their ids, or their indexes if they have no id; 5 at most."
    )
    retry: str | None = Field(description="The command that runs the failed items again; null if that cannot help.")


class Progress(BaseModel):
    """Why a job is not done."""

    reason: Reason = Field(description="docs/states.md says what to do about each.")
    message: str = Field(description="The reason in one sentence, with what to do.")
    since: datetime | None
    until: datetime | None = Field(description="When the reason ends, or the next try is due, if that is known.")
    workers: int = Field(description="That work on the job, if it runs; else those that are alive.")
    items_per_second: float
    estimated_end_at: datetime | None
    position: QueuePosition | None = Field(description="Null unless other work comes first.")
    errors: list[ErrorCount]
