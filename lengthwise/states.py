"""The states of a job, a shard, an item's result and a delivery, and who moves each on."""

from enum import IntEnum, StrEnum


class JobState(StrEnum):
    #: Has open shards. Settling the last one, cancelling, or the deadline's sweep moves it on.
    OPEN = "open"
    #: Every item has a result, some may be errors. Terminal.
    COMPLETED = "completed"
    #: The caller cancelled it; what was done stays readable. Terminal.
    CANCELLED = "cancelled"
    #: Its deadline passed; what was done stays readable. Terminal.
    EXPIRED = "expired"


class ShardState(StrEnum):
    #: May be claimed once ``not_before`` has passed.
    READY = "ready"
    #: A worker holds it until ``lease_until``; its settlement, its giving back or the sweep moves it on.
    LEASED = "leased"
    #: Its results are written. Terminal.
    DONE = "done"
    #: Its job was cancelled before it was settled. Terminal.
    CANCELLED = "cancelled"
    #: Its job's deadline passed before it was settled. Terminal.
    EXPIRED = "expired"


class ResultStatus(StrEnum):
    """How an item ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: Never run: these two are read from the item's shard, no row is written for them.
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class DeliveryState(StrEnum):
    #: Due at ``next_attempt_at``; an attempt moves it on, or to a later time.
    PENDING = "pending"
    #: The receiver answered 2xx. Terminal.
    DELIVERED = "delivered"
    #: The receiver answered 410, or the schedule ran out. Terminal.
    FAILED = "failed"


class Priority(IntEnum):
    """Lower is claimed first."""

    INTERACTIVE = 0
    NORMAL = 1
    BACKGROUND = 2


class BatchState(StrEnum):
    """Of a batch of the OpenAI surface, as far as its job does not say it."""

    #: Its file is still to be read. Reading it, or cancelling, moves it on.
    VALIDATING = "validating"
    #: Its lines were not taken. Terminal.
    FAILED = "failed"
    #: It was cancelled before its lines were taken. Terminal.
    CANCELLED = "cancelled"
    #: Its lines are the items of the job of the same id, whose state is the batch's from here on.
    ACCEPTED = "accepted"
