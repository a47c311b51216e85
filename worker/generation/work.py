"""A claim in hand: turns its items into engine requests, and their answers into results, shard by shard.

Knows kinds and the ledger's records; knows nothing of the database, Celery or torch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json

from lengthwise import kinds
from lengthwise.kinds.kind import Decoding, JobItem, Kind, KindModel, ModelAnswer, Prompt
from lengthwise.ledger.queue.claim import Claim, ClaimedItem, ClaimedJob
from lengthwise.ledger.queue.settle import ItemResult, Settlement
from lengthwise.states import ResultStatus
from worker.engine.protocol import GREEDY, Completion, Request, Sampling
from worker.generation.answer_cache import AnswerCache, CacheKey

_UNANSWERED = ModelAnswer("", "")
_UNDECODED = Decoding(0)


@dataclass(slots=True)
class JobInHand:
    """What the items of one job share. ``keys`` is set if identical items may share an answer.

    If the kind decodes each item in its own way, ``decoding`` and ``keys`` are not used.
    """

    kind: Kind
    params: Any
    keys: CacheKey | None = None
    decoding: Decoding = _UNDECODED
    #: The tenant among whose items identical ones share an answer; None if they must not.
    sharing: UUID | None = None


@dataclass(slots=True)
class ShardInHand:
    id: int
    job: JobInHand
    #: Items that have no result yet.
    n_open: int = 0
    results: list[ItemResult] = field(default_factory=list)
    n_output: int = 0
    n_padded: int = 0
    n_batches: float = 0.0
    n_deduplicated: int = 0
    used_input: int = 0
    used_output: int = 0

    def settlement(self) -> Settlement:
        return Settlement(
            self.id,
            self.results,
            self.n_output,
            self.n_padded,
            self.n_batches,
            self.n_deduplicated,
            self.used_input,
            self.used_output,
        )


@dataclass(slots=True)
class Entry:
    """One item in hand."""

    shard: ShardInHand
    index: int
    item: JobItem
    pieces: "list[WorkPiece]" = field(default_factory=list)
    #: Pieces without an answer, and pieces whose answer was computed for another piece.
    n_open: int = 0
    n_shared: int = 0
    n_input: int = 0
    n_output: int = 0
    #: Earlier attempts, whose answers were unusable.
    n_asked: int = 0
    is_ended: bool = False


@dataclass(slots=True)
class WorkPiece:
    """One prompt of an item, and its answer once it is known. ``key`` is set if identical prompts share the answer."""

    entry: Entry
    prompt: Prompt
    key: bytes | None
    decoding: Decoding
    answer: ModelAnswer = _UNANSWERED


class Work:
    """``pieces`` holds the prompts to run, without those that share the answer of another one."""

    def __init__(
        self, claim: Claim, model: KindModel, labels: Sequence[str] = (), known: AnswerCache | None = None
    ) -> None:
        self._model = model
        self._labels = tuple(labels)
        self._made_by = to_json(model.spec.made_by)
        self._answers = AnswerCache(0) if known is None else known
        self._followers: dict[bytes, list[WorkPiece]] = {}
        self._whole: list[ShardInHand] = []
        self.pieces: list[WorkPiece] = []
        self._open: dict[int, ShardInHand] = {}
        self.add(claim)

    def add(self, claim: Claim) -> None:
        """Adds what was claimed since."""
        for claimed, job, entries in _entries(claim):
            self._open |= {entry.shard.id: entry.shard for entry in entries}
            job.sharing = claimed.tenant_id if claimed.deduplicate else None
            if entries and not job.kind.decodes_per_item:
                job.decoding = job.kind.decoding(self._model.spec, job.params, entries[0].item, 0)
                job.keys = _keys(job, job.decoding)
            self._prompt(job, entries)

    def _prompt(self, job: JobInHand, same: Sequence[Entry], *, n_asked: int = 0) -> None:
        """Makes the prompts of one job's entries at once, because tokenizers are faster that way."""
        kind, keys, decoding = job.kind, job.keys, job.decoding
        prompts = kind.prompts(self._model, job.params, [entry.item for entry in same], n_asked)
        for entry, each in zip(same, prompts, strict=True):
            if kind.decodes_per_item:
                decoding = kind.decoding(self._model.spec, job.params, entry.item, n_asked)
                keys = _keys(job, decoding)
            entry.pieces = [WorkPiece(entry, prompt, keys.of(prompt) if keys else None, decoding) for prompt in each]
            entry.n_open, entry.n_shared, entry.n_asked = len(each), 0, n_asked
            for piece in entry.pieces:
                entry.n_input += len(piece.prompt.tokens)
                self._ask(piece)
            if not each:
                self._conclude(entry)

    def _ask(self, piece: WorkPiece) -> None:
        """Has the piece run, unless the same prompt was answered before or is already waiting to run."""
        if piece.key is not None:
            known = self._answers.get(piece.key)
            if known is not None:
                self._give(piece, known, shared=True)
                return
            if piece.key in self._followers:
                self._followers[piece.key].append(piece)
                return
            self._followers[piece.key] = []
        self.pieces.append(piece)

    def request(self, index: int) -> Request:
        """Returns the engine's request for ``pieces[index]``."""
        piece = self.pieces[index]
        decoding = piece.decoding
        tokens, max_new_tokens, prefix = piece.prompt
        sampling = _sampling(decoding, piece.entry) if decoding.temperature else GREEDY
        return Request(index, tokens, max_new_tokens, decoding.stop, sampling, prefix, decoding.score, decoding.beams)

    @property
    def beams(self) -> int:
        """Rows that each request takes in the engine; the same for all requests of a pool."""
        return self.pieces[0].decoding.beams if self.pieces else 1

    def shard_of(self, index: int) -> int:
        return self.pieces[index].entry.shard.id

    def lengths(self, indexes: Iterable[int]) -> list[int]:
        """The number of input tokens of each of these ``pieces``."""
        pieces = self.pieces
        return [len(pieces[index].prompt.tokens) for index in indexes]

    def charge(self, batch: Sequence[int], computed: Sequence[int]) -> None:
        """Counts one engine batch of these pieces with their input tokens, whether it succeeds or not."""
        for index, n_tokens in zip(batch, computed, strict=True):
            shard = self.pieces[index].entry.shard
            shard.n_padded += n_tokens
            shard.n_batches += 1 / len(batch)

    def answer(self, completions: Sequence[Completion]) -> None:
        """Takes completions. An item whose last prompt is answered gets its result, or is retried more carefully."""
        texts = self._model.tokenizer.decode_batch([completion.tokens for completion in completions])
        for (index, tokens, reason, scores, vector, score), text in zip(completions, texts, strict=True):
            piece, given = (
                self.pieces[index],
                ModelAnswer(text, reason, self._labels, scores, len(tokens), vector, score),
            )
            if piece.key is not None:
                self._answers.put(piece.key, given)
                for follower in self._followers.pop(piece.key, ()):
                    self._give(follower, given, shared=True)
            self._give(piece, given)

    def _give(self, piece: WorkPiece, given: ModelAnswer, *, shared: bool = False) -> None:
        entry = piece.entry
        piece.answer = given
        entry.n_output += given.n_tokens
        entry.n_open -= 1
        entry.n_shared += shared
        if entry.n_open == 0 and not entry.is_ended:
            self._conclude(entry)

    def fail(self, index: int, code: str) -> None:
        """Ends the item of ``pieces[index]`` as an error. Pieces that would have shared its answer run on their own."""
        piece = self.pieces[index]
        self._fail(piece.entry, code)
        for follower in self._followers.pop(piece.key, ()) if piece.key is not None else ():
            follower.key = None
            self.pieces.append(follower)

    def _fail(self, entry: Entry, code: str) -> None:
        self._end(entry, ResultStatus.FAILED, entry.shard.job.kind.failed(entry.index, entry.item, code))

    def _conclude(self, entry: Entry) -> None:
        job, pieces = entry.shard.job, entry.pieces
        answers = [piece.answer for piece in pieces]
        output = job.kind.output(self._model, job.params, entry.item, answers, entry.n_asked)
        if output is not None:
            shard = entry.shard
            shard.n_deduplicated += 0 < entry.n_shared == len(pieces)
            shard.used_input += entry.n_input
            shard.used_output += entry.n_output
            line = job.kind.succeeded(entry.index, entry.item, output, entry.n_input, entry.n_output, self._made_by)
            self._end(entry, ResultStatus.SUCCEEDED, line)
        elif entry.n_asked + 1 >= job.kind.max_attempts:
            self._fail(entry, job.kind.exhausted_error)
        else:
            self._prompt(job, [entry], n_asked=entry.n_asked + 1)

    def _end(self, entry: Entry, status: ResultStatus, line: bytes) -> None:
        if entry.is_ended:
            return
        shard = entry.shard
        entry.is_ended = True
        entry.pieces = []  # they refer to their entry: without this cycle everything is freed at once
        shard.n_output += entry.n_output
        shard.results.append(ItemResult(entry.index, status, line))
        shard.n_open -= 1
        if shard.n_open == 0:
            self._whole.append(self._open.pop(shard.id))

    def whole(self) -> list[Settlement]:
        """Removes and returns the shards whose items all have a result, for settling."""
        whole, self._whole = self._whole, []
        return [shard.settlement() for shard in whole]

    @property
    def open_shards(self) -> list[int]:
        return list(self._open)


def _keys(job: JobInHand, decoding: Decoding) -> CacheKey | None:
    return CacheKey(job.sharing, decoding) if job.sharing is not None and decoding.temperature == 0 else None


def _sampling(decoding: Decoding, entry: Entry) -> Sampling:
    """Each item has a seed of its own, so its answer does not depend on its batch."""
    seed = decoding.seed if entry.shard.job.kind.decodes_per_item else decoding.seed + entry.index
    return Sampling(decoding.temperature, decoding.top_p, decoding.top_k, seed)


def refuse(claim: Claim, code: str) -> list[Settlement]:
    """Ends all items of a claim as errors, without a model."""
    refused: dict[int, ShardInHand] = {}
    for _, _, entries in _entries(claim):
        for entry in entries:
            line = entry.shard.job.kind.failed(entry.index, entry.item, code)
            entry.shard.results.append(ItemResult(entry.index, ResultStatus.FAILED, line))
            refused[entry.shard.id] = entry.shard
    return [shard.settlement() for shard in refused.values()]


def _entries(claim: Claim) -> Iterable[tuple[ClaimedJob, JobInHand, list[Entry]]]:
    """The claim's items job by job; the most urgent shards of each job come first."""
    of_shard: dict[int, list[ClaimedItem]] = {shard_id: [] for shard_id in claim.shards}
    for item in claim.items:
        of_shard[item.shard_id].append(item)
    jobs: dict[Any, tuple[JobInHand, list[Entry]]] = {}
    for shard_id, same in of_shard.items():
        claimed = claim.jobs[claim.shards[shard_id].job_id]
        if claimed.id not in jobs:
            kind = kinds.find(claimed.kind)
            jobs[claimed.id] = JobInHand(kind, kind.params_type.model_validate(claimed.params)), []
        job, entries = jobs[claimed.id]
        shard = ShardInHand(shard_id, job, len(same))
        payloads = b"[" + b",".join([item.payload for item in same]) + b"]"
        parsed = _item_list(claimed.kind).validate_json(payloads)
        entries += [Entry(shard, item.index, each) for item, each in zip(same, parsed, strict=True)]
    return [(claim.jobs[job_id], job, entries) for job_id, (job, entries) in jobs.items()]


@cache
def _item_list(kind: str) -> TypeAdapter[list[JobItem]]:
    """Parses many items in one call, which takes a third of the time of one by one."""
    return TypeAdapter(list[kinds.find(kind).item_type])  # type: ignore[arg-type, misc]
