"""The items of a claim, and how far each of them is."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from lengthwise import kinds
from lengthwise.kinds.kind import CHECKED, Decoding, JobItem, Kind, ModelAnswer, Prompt
from lengthwise.ledger.queue.claim import Claim, ClaimedItem, ClaimedJob
from lengthwise.ledger.queue.settle import ItemResult, Settlement
from lengthwise.states import ResultStatus
from worker.generation.answer_cache import AnswerKeys

_UNANSWERED = ModelAnswer("", "")
_UNDECODED = Decoding(0)


@dataclass(slots=True)
class WorkJob:
    """What the items of one job have in common. ``keys`` is set if identical items may share an answer.

    If the kind decodes each item in its own way, ``decoding`` and ``keys`` are not used.
    """

    id: UUID
    kind: Kind
    params: Any
    tenant_id: UUID
    #: The name under which the job asked for its model.
    model: str
    keys: AnswerKeys | None = None
    decoding: Decoding = _UNDECODED
    #: Identical items of this tenant share an answer; None if none may be shared.
    sharing_tenant_id: UUID | None = None


@dataclass(slots=True)
class WorkShard:
    id: int
    store: int
    job: WorkJob
    #: Items that have no result yet.
    n_open: int = 0
    results: list[ItemResult] = field(default_factory=list)
    n_output: int = 0
    n_padded: int = 0
    n_batches: float = 0.0
    n_deduplicated: int = 0
    used_input: int = 0
    used_output: int = 0
    n_warned: Counter[str] = field(default_factory=Counter)
    n_errors: Counter[str] = field(default_factory=Counter)

    def settlement(self) -> Settlement:
        return Settlement(
            self.id,
            self.store,
            self.results,
            self.n_output,
            self.n_padded,
            self.n_batches,
            self.n_deduplicated,
            self.used_input,
            self.used_output,
            self.n_warned,
            self.n_errors,
            self.job.kind.name,
            self.job.model,
            self.job.tenant_id,
        )


@dataclass(slots=True)
class WorkItem:
    """An item of the claim, and how far it is."""

    shard: WorkShard
    index: int
    job_item: JobItem
    pieces: "list[WorkPiece]" = field(default_factory=list)
    #: Pieces without an answer, and pieces whose answer was computed for another piece.
    n_open: int = 0
    n_shared: int = 0
    n_input: int = 0
    n_output: int = 0
    #: Earlier attempts, whose answers could not be used.
    n_attempts: int = 0
    is_ended: bool = False


@dataclass(slots=True)
class WorkPiece:
    """One prompt of an item, and its answer once it is known. ``key`` is set if identical prompts share the answer."""

    item: WorkItem
    prompt: Prompt
    key: bytes | None
    decoding: Decoding
    answer: ModelAnswer = _UNANSWERED


def refuse(claim: Claim, code: str) -> list[Settlement]:
    """Ends all items of a claim with the error ``code``. Needs no model."""
    refused: dict[int, WorkShard] = {}
    for _, _, items in items_by_job(claim):
        for item in items:
            line = item.shard.job.kind.failed(item.index, item.job_item, code)
            item.shard.results.append(ItemResult(item.index, ResultStatus.FAILED, line))
            item.shard.n_errors[code] += 1
            refused[item.shard.id] = item.shard
    return [shard.settlement() for shard in refused.values()]


def items_by_job(claim: Claim) -> Iterable[tuple[ClaimedJob, WorkJob, list[WorkItem]]]:
    """The claim's items by job. Within a job, items of the most urgent shards come first."""
    of_shard: dict[int, list[ClaimedItem]] = {shard_id: [] for shard_id in claim.shards}
    for claimed_item in claim.items:
        of_shard[claimed_item.shard_id].append(claimed_item)
    jobs: dict[Any, tuple[WorkJob, list[WorkItem]]] = {}
    for shard_id, claimed_items in of_shard.items():
        claimed = claim.jobs[claim.shards[shard_id].job_id]
        if claimed.id not in jobs:
            kind = kinds.find(claimed.kind)
            params = kind.params_type.model_validate(claimed.params)
            jobs[claimed.id] = WorkJob(claimed.id, kind, params, claimed.tenant_id, claimed.model), []
        job, items = jobs[claimed.id]
        shard = WorkShard(shard_id, claim.shards[shard_id].store, job, len(claimed_items))
        payloads = b"[" + b",".join([each.payload for each in claimed_items]) + b"]"
        parsed = _item_list(claimed.kind).validate_json(payloads, context=CHECKED)
        items += [WorkItem(shard, each.index, item) for each, item in zip(claimed_items, parsed, strict=True)]
    return [(claim.jobs[job_id], job, items) for job_id, (job, items) in jobs.items()]


@cache
def _item_list(kind: str) -> TypeAdapter[list[JobItem]]:
    """Parses a list of items in one call, which takes a third of the time of parsing them one by one."""
    return TypeAdapter(list[kinds.find(kind).item_type])  # type: ignore[arg-type, misc]
