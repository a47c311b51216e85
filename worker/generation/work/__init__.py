"""A claim that is being worked on: turns its items into engine requests, and their answers into results of shards.

Knows kinds and the ledger's records; knows nothing of the database, Celery or torch.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from lengthwise import logs
from lengthwise.errors import Unanswerable
from lengthwise.kinds.kind import CostlyOutput, Decoding, KindModel, ModelAnswer
from lengthwise.ledger.queue.claim import Claim
from lengthwise.ledger.queue.settle import ItemResult, Settlement
from lengthwise.states import ResultStatus
from worker.engine.protocol import GREEDY, Completion, Request, Sampling
from worker.generation.answer_cache import AnswerCache, AnswerKeys
from worker.generation.answer_checks import AnswerChecks
from worker.generation.work.items import WorkItem, WorkJob, WorkPiece, WorkShard, items_by_job


class Work:
    """The items of a claim.

    ``pieces`` are the prompts to run. Prompts that share the answer of another one are not among them. ``on_step`` is
    called after each shard that ended, since reading all answers of a claim may take long.

    With ``checks``, what is costly about an output runs in these threads, and ``take_checked`` takes what they found.
    """

    def __init__(
        self,
        claim: Claim,
        model: KindModel,
        labels: Sequence[str] = (),
        known: AnswerCache | None = None,
        checks: AnswerChecks | None = None,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._checks = checks
        #: Items whose answers are being checked, and what the threads have found since the last look.
        self.n_checking = 0
        self._checked: deque[tuple[WorkItem, dict[str, Any] | None, Exception | None]] = deque()
        #: Pieces that the engine has received, or that will not run here.
        self.n_begun = 0
        self._on_step = on_step
        self._model = model
        self._labels = tuple(labels)
        self._keeps_tokens = any(options.needs_chat_template for options in model.spec.kind_options.values())
        self._made_by = to_json(model.spec.made_by)
        self._answers = AnswerCache(0) if known is None else known
        self._followers: dict[bytes, list[WorkPiece]] = {}
        self._finished: list[WorkShard] = []
        self.pieces: list[WorkPiece] = []
        self._unfinished: dict[int, WorkShard] = {}
        self.add(claim)

    def add(self, claim: Claim) -> None:
        """Adds a further claim under the same token."""
        for claimed, job, items in items_by_job(claim):
            self._unfinished |= {item.shard.id: item.shard for item in items}
            job.sharing_tenant_id = claimed.tenant_id if claimed.deduplicate else None
            if items and not job.kind.decodes_per_item:
                job.decoding = job.kind.decoding(self._model.spec, job.params, items[0].job_item, 0)
                job.keys = _keys(job, job.decoding)
            self._prompt(job, items)

    def _prompt(self, job: WorkJob, items: Sequence[WorkItem], *, n_attempts: int = 0) -> None:
        """Makes the prompts of these items of one job, all in one call, because that is faster for tokenizers."""
        kind, keys, decoding = job.kind, job.keys, job.decoding
        try:
            prompts = kind.prompts(self._model, job.params, [item.job_item for item in items], n_attempts)
        except Unanswerable as error:
            if len(items) == 1:
                self._fail(items[0], error.code)
                return
            for item in items:  # only those that cannot be answered fail
                self._prompt(job, [item], n_attempts=n_attempts)
            return
        for item, each in zip(items, prompts, strict=True):
            if kind.decodes_per_item:
                decoding = kind.decoding(self._model.spec, job.params, item.job_item, n_attempts)
                keys = _keys(job, decoding)
            item.pieces = [WorkPiece(item, prompt, keys.make(prompt) if keys else None, decoding) for prompt in each]
            item.n_open, item.n_shared, item.n_attempts = len(each), 0, n_attempts
            for piece in item.pieces:
                item.n_input += len(piece.prompt.tokens)
                self._enqueue(piece)
            if not each:
                self._conclude(item)

    def _enqueue(self, piece: WorkPiece) -> None:
        """Queues the piece to run, unless the same prompt was answered before or is queued already."""
        if piece.key is not None:
            known = self._answers.get(piece.key)
            if known is not None:
                self._set_answer(piece, known, shared=True)
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
        is_greedy = not decoding.temperature and decoding.repetition_penalty is None
        sampling = GREEDY if is_greedy else _sampling(decoding, piece.item)
        return Request(index, tokens, max_new_tokens, decoding.stop, sampling, prefix, decoding.score, decoding.beams)

    @property
    def beams(self) -> int:
        """The rows that each request takes in the engine: the beams of its search, equal for all requests of a pool."""
        return self.pieces[0].decoding.beams if self.pieces else 1

    def shard_of(self, index: int) -> int:
        return self.pieces[index].item.shard.id

    def place(self, index: int) -> dict[str, object]:
        """Whose item this piece is, for the log. ``item`` is the item's position in the job, from 0."""
        item = self.pieces[index].item
        shard = item.shard
        return logs.named("job", [shard.job.id]) | logs.named("shard", [shard.id]) | {"item": item.index}

    def kinds(self, indexes: Iterable[int]) -> set[str]:
        """The names of the kinds of job that these pieces belong to."""
        return {self.pieces[index].item.shard.job.kind.name for index in indexes}

    def lengths(self, indexes: Iterable[int]) -> list[int]:
        """The number of input tokens of each of these pieces."""
        pieces = self.pieces
        return [len(pieces[index].prompt.tokens) for index in indexes]

    def charge(self, batch: Sequence[int], computed: Sequence[int]) -> None:
        """Counts an engine batch of these pieces and the input tokens it ``computed`` for each, even if it fails."""
        for index, n_tokens in zip(batch, computed, strict=True):
            shard = self.pieces[index].item.shard
            shard.n_padded += n_tokens
            shard.n_batches += 1 / len(batch)

    def answer(self, completions: Sequence[Completion]) -> None:
        """Stores the answers of these completions. If an item has all its answers, it gets its result or is retried."""
        texts = self._model.tokenizer.decode_batch([completion.tokens for completion in completions])
        for (index, tokens, reason, scores, vector, score), text in zip(completions, texts, strict=True):
            piece = self.pieces[index]
            kept = tokens if self._keeps_tokens else ()
            # An enum's member would take five times as long to write as JSON.
            answer = ModelAnswer(text, str(reason), self._labels, scores, len(tokens), vector, score, kept)
            if piece.key is not None:
                self._answers.put(piece.key, answer)
                for follower in self._followers.pop(piece.key, ()):
                    self._set_answer(follower, answer, shared=True)
            self._set_answer(piece, answer)

    def _set_answer(self, piece: WorkPiece, answer: ModelAnswer, *, shared: bool = False) -> None:
        item = piece.item
        piece.answer = answer
        item.n_output += answer.n_tokens
        item.n_open -= 1
        item.n_shared += shared
        if item.n_open == 0 and not item.is_ended:
            self._conclude(item)

    def fail(self, index: int, code: str) -> None:
        """Ends the item of ``pieces[index]`` with an error. Pieces that waited for its answer run themselves."""
        piece = self.pieces[index]
        self._fail(piece.item, code)
        for follower in self._followers.pop(piece.key, ()) if piece.key is not None else ():
            follower.key = None
            self.pieces.append(follower)

    def _fail(self, item: WorkItem, code: str) -> None:
        if not item.is_ended:
            item.shard.n_errors[code] += 1
        self._end(item, ResultStatus.FAILED, item.shard.job.kind.failed(item.index, item.job_item, code))

    @property
    def is_checking(self) -> bool:
        """Whether threads still check answers."""
        return self.n_checking > 0

    @property
    def is_waiting(self) -> bool:
        """Whether pieces have been added since the engine had done with all of them."""
        return self.n_begun < len(self.pieces)

    def take_checked(self) -> bool:
        """Ends the items that were checked meanwhile, or lets them run again. Returns whether there were any.

        Raises what the check raised, such as ``Unavailable``.
        """
        if not self._checked:
            return False
        while self._checked:
            item, output, error = self._checked.popleft()
            self.n_checking -= 1
            if isinstance(error, Unanswerable):
                self._fail(item, error.code)
            elif error is not None:
                raise error
            else:
                self._take_output(item, [piece.answer for piece in item.pieces], output)
        return True

    def _check(self, item: WorkItem, make: CostlyOutput, checks: AnswerChecks) -> None:
        def check() -> None:
            try:
                self._checked.append((item, make(), None))
            except Exception as error:  # the thread of the engine raises it
                self._checked.append((item, None, error))

        self.n_checking += 1
        checks.add(item.shard.job.tenant_id, check)

    def _conclude(self, item: WorkItem) -> None:
        job = item.shard.job
        answers = [piece.answer for piece in item.pieces]
        try:
            output = job.kind.output(self._model, job.params, item.job_item, answers, item.n_attempts)
            if callable(output):
                if self._checks is not None:
                    self._check(item, output, self._checks)
                    return
                output = output()
        except Unanswerable as error:
            self._fail(item, error.code)
            return
        self._take_output(item, answers, output)

    def _take_output(self, item: WorkItem, answers: Sequence[ModelAnswer], output: dict[str, Any] | None) -> None:
        shard = item.shard
        job = shard.job
        kind = job.kind
        if output is not None:
            shard.n_deduplicated += 0 < item.n_shared == len(answers)
            shard.used_input += item.n_input
            shard.used_output += item.n_output
            warnings = kind.warnings(self._model, job.params, item.job_item, output, answers)
            if warnings:
                warnings = tuple(dict.fromkeys(warnings))
                shard.n_warned.update(warnings)
            line = kind.succeeded(
                item.index, item.job_item, output, item.n_input, item.n_output, self._made_by, warnings
            )
            self._end(item, ResultStatus.SUCCEEDED, line)
        elif item.n_attempts + 1 >= kind.max_attempts:
            self._fail(item, kind.exhausted_error)
        else:
            self._prompt(job, [item], n_attempts=item.n_attempts + 1)

    def _end(self, item: WorkItem, status: ResultStatus, line: bytes) -> None:
        if item.is_ended:
            return
        shard = item.shard
        item.is_ended = True
        item.pieces = []  # breaks the reference cycle with the pieces, so that everything is freed at once
        shard.n_output += item.n_output
        shard.results.append(ItemResult(item.index, status, line))
        shard.n_open -= 1
        if shard.n_open == 0:
            self._finished.append(self._unfinished.pop(shard.id))
            self._on_step()

    def take_finished(self) -> list[Settlement]:
        """Removes and returns the shards whose items all have a result, ready to be settled."""
        finished, self._finished = self._finished, []
        return [shard.settlement() for shard in finished]

    @property
    def unfinished_shards(self) -> list[int]:
        return list(self._unfinished)


def _keys(job: WorkJob, decoding: Decoding) -> AnswerKeys | None:
    """None if answers are not shared: the job does not want it, or they are sampled."""
    if job.sharing_tenant_id is None or decoding.temperature != 0:
        return None
    return AnswerKeys(job.sharing_tenant_id, decoding)


def _sampling(decoding: Decoding, item: WorkItem) -> Sampling:
    """Gives each item a seed of its own, so that its answer does not depend on its batch."""
    if not decoding.temperature:
        return Sampling(repetition_penalty=decoding.repetition_penalty)
    seed = decoding.seed if item.shard.job.kind.decodes_per_item else decoding.seed + item.index
    return Sampling(decoding.temperature, decoding.top_p, decoding.top_k, seed, decoding.repetition_penalty)
