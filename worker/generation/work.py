"""A claim in hand: its items as engine requests, their answers as they come, its shards as they become whole.

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
from lengthwise.kinds.kind import Answer, Decoding, Item, Kind, Model, Prompt
from lengthwise.ledger.queue.claim import Claim, ClaimedItem, ClaimedJob
from lengthwise.ledger.queue.settle import Result, Settlement
from lengthwise.states import ResultStatus
from worker.engine.protocol import GREEDY, Completion, Request, Sampling
from worker.generation.answer_cache import AnswerCache, CacheKey

_UNANSWERED = Answer("", "")
_UNDECODED = Decoding(0)


@dataclass(slots=True)
class JobInHand:
    """What the items of one job share; ``asker`` where identical ones may share an answer.

    Where its kind is decoded per item, ``decoding`` and ``asker`` are those of no item.
    """

    kind: Kind
    params: Any
    asker: CacheKey | None = None
    decoding: Decoding = _UNDECODED
    #: Whose identical items may share an answer; None if none may.
    sharing: UUID | None = None


@dataclass(slots=True)
class ShardInHand:
    id: int
    job: JobInHand
    #: Items without a result.
    n_open: int = 0
    results: list[Result] = field(default_factory=list)
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
    item: Item
    pieces: "list[WorkPiece]" = field(default_factory=list)
    #: Pieces without an answer, and those that another's computation answered.
    n_open: int = 0
    n_shared: int = 0
    n_input: int = 0
    n_output: int = 0
    #: Times that it was asked before, to no use.
    n_asked: int = 0
    is_ended: bool = False


@dataclass(slots=True)
class WorkPiece:
    """One prompt of an item, and its answer once there is one. ``key`` is set where others may share the answer."""

    entry: Entry
    prompt: Prompt
    key: bytes | None
    decoding: Decoding
    answer: Answer = _UNANSWERED


class Work:
    """``pieces`` are what is to be run; one that another's computation answers is not among them."""

    def __init__(self, claim: Claim, model: Model, labels: Sequence[str] = (), memo: AnswerCache | None = None) -> None:
        self._model = model
        self._labels = tuple(labels)
        self._made_by = to_json(model.spec.made_by)
        self._memo = AnswerCache(0) if memo is None else memo
        self._followers: dict[bytes, list[WorkPiece]] = {}
        self._whole: list[ShardInHand] = []
        self.pieces: list[WorkPiece] = []
        self._open: dict[int, ShardInHand] = {}
        self.add(claim)

    def add(self, claim: Claim) -> None:
        """Takes in what was claimed since."""
        for claimed, job, entries in _entries(claim):
            self._open |= {entry.shard.id: entry.shard for entry in entries}
            job.sharing = claimed.tenant_id if claimed.deduplicate else None
            if not job.kind.is_per_item:
                job.decoding = job.kind.decoding(self._model.spec, job.params)
                job.asker = _asker(job, job.decoding)
            self._prompt(job, entries)

    def _prompt(self, job: JobInHand, same: Sequence[Entry], *, n_asked: int = 0) -> None:
        """Makes the prompts of one job's entries at once, as tokenizers like it."""
        kind, asker, decoding = job.kind, job.asker, job.decoding
        prompts = kind.prompts(self._model, job.params, [entry.item for entry in same], retry=n_asked > 0)
        for entry, each in zip(same, prompts, strict=True):
            if kind.is_per_item:
                decoding = kind.decoding_of(self._model.spec, job.params, entry.item, n_asked)
                asker = _asker(job, decoding)
            entry.pieces = [
                WorkPiece(entry, prompt, asker.key_of(prompt) if asker else None, decoding) for prompt in each
            ]
            entry.n_open, entry.n_shared, entry.n_asked = len(each), 0, n_asked
            for piece in entry.pieces:
                entry.n_input += len(piece.prompt.tokens)
                self._ask(piece)
            if not each:
                self._conclude(entry)

    def _ask(self, piece: WorkPiece) -> None:
        """Runs the piece, unless the same was answered before or is being asked by another."""
        if piece.key is not None:
            known = self._memo.get(piece.key)
            if known is not None:
                self._give(piece, known, shared=True)
                return
            if piece.key in self._followers:
                self._followers[piece.key].append(piece)
                return
            self._followers[piece.key] = []
        self.pieces.append(piece)

    def request(self, index: int) -> Request:
        """The engine's request for ``pieces[index]``."""
        piece = self.pieces[index]
        decoding = piece.decoding
        tokens, max_new_tokens, prefix, _ = piece.prompt
        sampling = _sampling(decoding, piece.entry) if decoding.temperature else GREEDY
        return Request(index, tokens, max_new_tokens, decoding.stop, sampling, prefix, decoding.score, decoding.beams)

    @property
    def beams(self) -> int:
        """Rows that each request takes in the engine: in a pool all take as many."""
        return self.pieces[0].decoding.beams if self.pieces else 1

    def shard_of(self, index: int) -> int:
        return self.pieces[index].entry.shard.id

    def lengths(self, indexes: Iterable[int]) -> list[int]:
        """Input tokens of each of these ``pieces``."""
        pieces = self.pieces
        return [len(pieces[index].prompt.tokens) for index in indexes]

    def charge(self, batch: Sequence[int], computed: Sequence[int]) -> None:
        """Accounts for one engine batch of these pieces, each with its input tokens, whether it succeeds or not."""
        for index, n_tokens in zip(batch, computed, strict=True):
            shard = self.pieces[index].entry.shard
            shard.n_padded += n_tokens
            shard.n_batches += 1 / len(batch)

    def answer(self, completions: Sequence[Completion]) -> None:
        """Takes the engine's completions in; an item with its last one has a result, or is tried the careful way."""
        texts = self._model.tokenizer.decode_batch([completion.tokens for completion in completions])
        for (index, tokens, reason, scores, vector, score), text in zip(completions, texts, strict=True):
            piece, given = self.pieces[index], Answer(text, reason, self._labels, scores, len(tokens), vector, score)
            if piece.key is not None:
                self._memo.put(piece.key, given)
                for follower in self._followers.pop(piece.key, ()):
                    self._give(follower, given, shared=True)
            self._give(piece, given)

    def _give(self, piece: WorkPiece, given: Answer, *, shared: bool = False) -> None:
        entry = piece.entry
        piece.answer = given
        entry.n_output += given.n_tokens
        entry.n_open -= 1
        entry.n_shared += shared
        if entry.n_open == 0 and not entry.is_ended:
            self._conclude(entry)

    def fail(self, index: int, code: str) -> None:
        """Settles the item of ``pieces[index]`` as an error of its own; who would have shared its answer runs alone."""
        piece = self.pieces[index]
        self._fail(piece.entry, code)
        for follower in self._followers.pop(piece.key, ()) if piece.key is not None else ():
            follower.key = None
            self.pieces.append(follower)

    def _fail(self, entry: Entry, code: str) -> None:
        self._end(entry, ResultStatus.FAILED, entry.shard.job.kind.failed(entry.index, entry.item, code))

    def _conclude(self, entry: Entry) -> None:
        job, pieces = entry.shard.job, entry.pieces
        prompts, answers = [piece.prompt for piece in pieces], [piece.answer for piece in pieces]
        output = job.kind.output(self._model, job.params, entry.item, prompts, answers)
        if output is not None:
            shard = entry.shard
            shard.n_deduplicated += 0 < entry.n_shared == len(pieces)
            shard.used_input += entry.n_input
            shard.used_output += entry.n_output
            line = job.kind.succeeded(entry.index, entry.item, output, entry.n_input, entry.n_output, self._made_by)
            self._end(entry, ResultStatus.SUCCEEDED, line)
        elif entry.n_asked + 1 >= job.kind.most_asked:
            self._fail(entry, job.kind.useless)
        else:
            self._prompt(job, [entry], n_asked=entry.n_asked + 1)

    def _end(self, entry: Entry, status: ResultStatus, line: bytes) -> None:
        if entry.is_ended:
            return
        shard = entry.shard
        entry.is_ended = True
        entry.pieces = []  # they know their entry: without the cycle all of it goes at once
        shard.n_output += entry.n_output
        shard.results.append(Result(entry.index, status, line))
        shard.n_open -= 1
        if shard.n_open == 0:
            self._whole.append(self._open.pop(shard.id))

    def whole(self) -> list[Settlement]:
        """Takes out the shards of which every item has a result, for settling."""
        whole, self._whole = self._whole, []
        return [shard.settlement() for shard in whole]

    @property
    def open_shards(self) -> list[int]:
        return list(self._open)


def _asker(job: JobInHand, decoding: Decoding) -> CacheKey | None:
    return CacheKey(job.sharing, decoding) if job.sharing is not None and decoding.temperature == 0 else None


def _sampling(decoding: Decoding, entry: Entry) -> Sampling:
    """An item's draw is its own, whatever it is batched with."""
    seed = decoding.seed if entry.shard.job.kind.is_per_item else decoding.seed + entry.index
    return Sampling(decoding.temperature, decoding.top_p, decoding.top_k, seed)


def refuse(claim: Claim, code: str) -> list[Settlement]:
    """Settles a whole claim as errors, without a model."""
    refused: dict[int, ShardInHand] = {}
    for _, _, entries in _entries(claim):
        for entry in entries:
            line = entry.shard.job.kind.failed(entry.index, entry.item, code)
            entry.shard.results.append(Result(entry.index, ResultStatus.FAILED, line))
            refused[entry.shard.id] = entry.shard
    return [shard.settlement() for shard in refused.values()]


def _entries(claim: Claim) -> Iterable[tuple[ClaimedJob, JobInHand, list[Entry]]]:
    """The claim's items job by job, the most urgent shards of each first."""
    of_shard: dict[int, list[ClaimedItem]] = {shard_id: [] for shard_id in claim.shards}
    for item in claim.items:
        of_shard[item.shard_id].append(item)
    jobs: dict[Any, tuple[JobInHand, list[Entry]]] = {}
    for shard_id, same in of_shard.items():
        claimed = claim.jobs[claim.shards[shard_id].job_id]
        if claimed.id not in jobs:
            kind = kinds.EVERY[claimed.kind]
            jobs[claimed.id] = JobInHand(kind, kind.params_type.model_validate(claimed.params)), []
        job, entries = jobs[claimed.id]
        shard = ShardInHand(shard_id, job, len(same))
        payloads = b"[" + b",".join([item.payload for item in same]) + b"]"
        parsed = _item_list(claimed.kind).validate_json(payloads)
        entries += [Entry(shard, item.index, each) for item, each in zip(same, parsed, strict=True)]
    return [(claim.jobs[job_id], job, entries) for job_id, (job, entries) in jobs.items()]


@cache
def _item_list(kind: str) -> TypeAdapter[list[Item]]:
    """Parses many items in one call, a third of the cost of one by one."""
    return TypeAdapter(list[kinds.EVERY[kind].item_type])  # type: ignore[arg-type, misc]
