"""The states of a job, a shard, a result, a delivery, a batch and a worker, and why a job is not done."""

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


class Reason(StrEnum):
    """Why a job is not done. Of several that hold, the first in this order is given."""

    #: It ended, and webhooks about it are still to be sent.
    DELIVERING = "delivering"
    #: It ended, and nothing about it is left to do.
    ENDED = "ended"
    #: An OpenAI batch: its file is still to be read, so that it has no job yet.
    VALIDATING = "validating"
    #: Every item has its result, and the sweep will end the job.
    ENDING = "ending"
    #: Every generation worker that was seen is silent now, or is stopping, or none was seen.
    NO_WORKER = "no_worker"
    #: Workers hold some of its shards.
    RUNNING = "running"
    #: No ``models.toml`` of a live worker names its model.
    MODEL_UNKNOWN = "model_unknown"
    #: No live worker has loaded its model, and some could not.
    MODEL_NOT_SERVED = "model_not_served"
    #: The engine of its model is unavailable, at every worker that has it loaded.
    ENGINE_PAUSED = "engine_paused"
    #: Its shards were put off after a failure, and are tried again.
    RETRYING = "retrying"
    #: Workers died over its shards, which run alone, in halves, until the item is found that is to blame.
    BISECTING = "bisecting"
    #: Work of a more urgent priority comes first.
    BEHIND_URGENT = "behind_urgent"
    #: Shards of the same priority come first, or pools of it take turns.
    BEHIND_OTHERS = "behind_others"
    #: Dead workers hold its shards, or a bell was lost, and only a delivery worker mends that; none is alive.
    NO_DELIVERY_WORKER = "no_delivery_worker"
    #: Nothing comes before it: a worker takes it as soon as one is free.
    NEXT = "next"


#: What a worker's row says of a model that its ``models.toml`` does not name.
NOT_NAMED = "models.toml does not name it"


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
