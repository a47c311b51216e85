"""A claim in hand: its items as engine requests, their answers as they come, its shards as they become whole.

Knows kinds and the ledger's records; knows nothing of the database, Celery or torch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from lengthwise import line as lines
from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import Answer, Decoding, Item, Kind, Model, Prompt
from lengthwise.ledger.claim import Claim, ClaimedItem
from lengthwise.ledger.settle import Result, Settlement
from lengthwise.states import ResultStatus
from worker.engine.protocol import GREEDY, Completion, Request, Sampling


@dataclass(slots=True)
class Piece:
    """One prompt of an item, and its answer once there is one."""

    entry: "Entry"
    prompt: Prompt
    answer: Answer | None = None


@dataclass(slots=True)
class Entry:
    """One item in hand."""

    claimed: ClaimedItem
    kind: Kind
    params: Any
    item: Item
    pieces: list[Piece] = field(default_factory=list)
    result: Result | None = None
    n_input: int = 0
    n_output: int = 0
    n_padded: int = 0
    n_batches: float = 0.0
    is_retry: bool = False


class Work:
    def __init__(self, claim: Claim, model: Model, labels: Sequence[str] = ()) -> None:
        self._model = model
        self._labels = tuple(labels)
        self._shards: dict[int, list[Entry]] = {}
        self._decoding: Decoding | None = None
        self.pieces: list[Piece] = []
        for entries in _entries(claim):
            for entry in entries:
                self._shards.setdefault(entry.claimed.shard_id, []).append(entry)
            self._prompt(entries)

    def _prompt(self, same: Sequence[Entry], *, retry: bool = False) -> None:
        """Makes the prompts of one job's entries at once, as tokenizers like it."""
        kind, params = same[0].kind, same[0].params
        self._decoding = kind.decoding(self._model.spec, params)
        prompts = kind.prompts(self._model, params, [entry.item for entry in same], retry=retry)
        for entry, each in zip(same, prompts, strict=True):
            entry.is_retry = retry
            entry.pieces = [Piece(entry, prompt) for prompt in each]
            entry.n_input += sum(len(prompt.tokens) for prompt in each)
            self.pieces += entry.pieces
            if not entry.pieces:
                self._conclude(entry)

    def request(self, index: int) -> Request:
        """The engine's request for ``pieces[index]``."""
        piece, decoding = self.pieces[index], self._decoding or Decoding(0)
        return Request(
            id=index,
            tokens=piece.prompt.tokens,
            max_new_tokens=piece.prompt.max_new_tokens,
            stop=decoding.stop,
            sampling=_sampling(decoding, piece.entry.claimed.index),
            decoder_prefix=piece.prompt.decoder_prefix,
        )

    def shard_of(self, index: int) -> int:
        return self.pieces[index].entry.claimed.shard_id

    def length_of(self, index: int) -> int:
        """Input tokens of ``pieces[index]``."""
        return len(self.pieces[index].prompt.tokens)

    def charge(self, batch: Sequence[int]) -> None:
        """Accounts for one engine batch of these pieces, padding included, whether it succeeds or not."""
        longest, share = max(map(self.length_of, batch)), 1 / len(batch)
        for index in batch:
            entry = self.pieces[index].entry
            entry.n_padded += longest
            entry.n_batches += share

    def answer(self, completions: Iterable[Completion]) -> None:
        """Takes the engine's completions in; an item with its last one has a result, or is tried the careful way."""
        for completion in completions:
            piece = self.pieces[completion.id]
            text = self._model.tokenizer.decode(completion.tokens) if completion.tokens else ""
            piece.answer = Answer(text, completion.finish_reason.value, self._labels, completion.scores)
            piece.entry.n_output += len(completion.tokens)
            self._conclude(piece.entry)

    def fail(self, index: int, code: str) -> None:
        """Settles the item of ``pieces[index]`` as an error of its own."""
        self._fail(self.pieces[index].entry, code)

    def _fail(self, entry: Entry, code: str) -> None:
        line = lines.failed(entry.claimed.index, entry.item, code)
        entry.result = Result(entry.claimed.index, ResultStatus.FAILED, line)

    def _conclude(self, entry: Entry) -> None:
        answers = [piece.answer for piece in entry.pieces]
        given = [answer for answer in answers if answer is not None]
        if entry.result is not None or len(given) < len(answers):
            return
        prompts = [piece.prompt for piece in entry.pieces]
        output = entry.kind.output(self._model, entry.params, entry.item, prompts, given)
        if output is not None:
            line = lines.succeeded(entry.claimed.index, entry.item, output, entry.n_input, entry.n_output)
            entry.result = Result(entry.claimed.index, ResultStatus.SUCCEEDED, line)
        elif entry.is_retry:
            self._fail(entry, "placeholder_lost")
        else:
            self._prompt([entry], retry=True)

    def whole(self) -> list[Settlement]:
        """Takes out the shards of which every item has a result, for settling."""
        ready = {shard: entries for shard, entries in self._shards.items() if all(entry.result for entry in entries)}
        for shard in ready:
            del self._shards[shard]
        return [_settlement(shard, entries) for shard, entries in ready.items()]

    @property
    def open_shards(self) -> list[int]:
        return list(self._shards)


def _sampling(decoding: Decoding, index: int) -> Sampling:
    """An item's draw is its own, whatever it is batched with."""
    if decoding.temperature == 0:
        return GREEDY
    return Sampling(decoding.temperature, decoding.top_p, decoding.top_k, decoding.seed + index)


def refuse(claim: Claim, code: str) -> list[Settlement]:
    """Settles a whole claim as errors, without a model."""
    shards: dict[int, list[Entry]] = {}
    for entry in chain.from_iterable(_entries(claim)):
        line = lines.failed(entry.claimed.index, entry.item, code)
        entry.result = Result(entry.claimed.index, ResultStatus.FAILED, line)
        shards.setdefault(entry.claimed.shard_id, []).append(entry)
    return [_settlement(shard, entries) for shard, entries in shards.items()]


def _entries(claim: Claim) -> Iterable[list[Entry]]:
    """The claim's items, job by job."""
    for job_id, same in _by_job(claim.items):
        job = claim.jobs[job_id]
        kind = KINDS[job.kind]
        params = kind.params_type.model_validate(job.params)
        parse = kind.item_type.model_validate_json
        yield [Entry(claimed, kind, params, parse(claimed.payload)) for claimed in same]


def _by_job(items: Sequence[ClaimedItem]) -> Iterable[tuple[UUID, list[ClaimedItem]]]:
    """The items of each job together; a shard's come one after the other, all of one job."""
    jobs: dict[UUID, list[ClaimedItem]] = {}
    for _, shard in groupby(items, key=attrgetter("shard_id")):
        same = list(shard)
        jobs.setdefault(same[0].job_id, []).extend(same)
    return jobs.items()


def _settlement(shard_id: int, entries: Sequence[Entry]) -> Settlement:
    return Settlement(
        shard_id,
        [entry.result for entry in entries if entry.result],
        n_output=sum(entry.n_output for entry in entries),
        n_padded=sum(entry.n_padded for entry in entries),
        n_batches=sum(entry.n_batches for entry in entries),
    )
