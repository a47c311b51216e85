"""The states of a job, a shard, an item's result, a delivery, a batch and a worker, and what changes each of them."""

from enum import IntEnum, StrEnum


class JobState(StrEnum):
    """The state of a job."""

    #: It has open shards. Settling the last one, cancelling, or the sweep after its deadline ends it.
    OPEN = "open"
    #: Every item has a result, which may be an error. Final.
    COMPLETED = "completed"
    #: The caller cancelled it. Results that exist can still be read. Final.
    CANCELLED = "cancelled"
    #: Its deadline passed. Results that exist can still be read. Final.
    EXPIRED = "expired"


class ShardState(StrEnum):
    """The state of a shard. ``ready`` and ``leased`` shards are called open."""

    #: It may be claimed once ``not_before`` has passed.
    READY = "ready"
    #: A worker holds it until ``lease_until``. The worker settles it or gives it back, or the sweep takes it back.
    LEASED = "leased"
    #: Its results are written. Final.
    DONE = "done"
    #: Its job was cancelled before it was settled. Final.
    CANCELLED = "cancelled"
    #: Its job's deadline passed before it was settled. Final.
    EXPIRED = "expired"


class ResultStatus(StrEnum):
    """How an item ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: The item never ran. These two have no row among the results: they are read from the state of the item's shard.
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class DeliveryState(StrEnum):
    """The state of a delivery."""

    #: It is due at ``next_attempt_at``. An attempt ends it, or sets a later time.
    PENDING = "pending"
    #: The receiver answered 2xx. Final, unless it is sent again.
    DELIVERED = "delivered"
    #: The receiver answered 410, every attempt failed, or its endpoint is disabled. Final, unless it is sent again.
    FAILED = "failed"


class Priority(IntEnum):
    """The priority of a job. Lower values are claimed first."""

    INTERACTIVE = 0
    NORMAL = 1
    BACKGROUND = 2


class BatchState(StrEnum):
    """The state of a batch of the OpenAI-compatible surface until it has a job, whose state then counts."""

    #: Its file is still to be read. Reading the file, or cancelling, ends this state.
    VALIDATING = "validating"
    #: Its file was refused. Final.
    FAILED = "failed"
    #: It was cancelled before its file was read. Final.
    CANCELLED = "cancelled"
    #: Its lines are the items of the job of the same id. From then on the job's state is the batch's.
    ACCEPTED = "accepted"


class WorkerRole(StrEnum):
    """What a worker's process does."""

    GENERATE = "generate"
    #: It sends webhooks, and sweeps.
    DELIVER = "deliver"


class WorkerState(StrEnum):
    """The state of a worker's process, as it last reported it."""

    #: It loads its first models.
    STARTING = "starting"
    #: It waits for work.
    IDLE = "idle"
    #: It works, or has worked since its last report.
    WORKING = "working"
    #: It was asked to stop, and finishes what it holds. Its row goes with it.
    STOPPING = "stopping"
    #: It has not reported for three periods: it is frozen, killed, or cut off from the database. Never stored: whoever
    #: reads its row finds out. The next report ends it, or the sweep forgets it.
    LOST = "lost"
