"""Runs a claim as one continuous batch: when rows end, waiting items join it, and more items are claimed as needed.

Answers differ in length. A plain batch would therefore take most of its steps with only a few rows left.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from lengthwise import logs, settings, traces
from lengthwise.metrics import meters
from lengthwise.traces import TraceSpan, semantics
from worker.engine.protocol import Completion, EngineBatch, EngineError, Request
from worker.generation.batch import BatchRunner, require_known
from worker.generation.capacity import Capacity
from worker.generation.claiming import PreparedClaim
from worker.generation.pipeline import Pipeline

log = logging.getLogger(__name__)

#: The most pieces of one batch. It keeps all of them in memory until it ends.
_MAX_PIECES = 10_000
#: The pause after a claim that found nothing.
_PAUSE_SECONDS = 0.1

Result = TypeVar("Result")


class ContinuousBatch:
    """A claim, and further claims under the same token. A step is one step of the engine."""

    def __init__(self, prepared: PreparedClaim, pipeline: Pipeline, runner: BatchRunner) -> None:
        self._prepared, self._pipeline, self._runner = prepared, pipeline, runner
        self._work, self._model = prepared.work, prepared.model
        self._closes_at = time.monotonic() + settings.get().continuous_batch_seconds
        self._empty_claim_at = -math.inf
        self._is_full = False
        #: Pieces that the engine has received, or that will not run here.
        self._n_begun = prepared.work.n_begun
        self._begun_shards: set[int] = set()
        #: Holds the pieces that the engine has not answered yet.
        self._capacity = Capacity(self._model.spec.batch_rows, self._model.batch_tokens)
        self._answers: Sequence[Completion] = ()
        #: None before the first request, and after an error.
        self._batch: EngineBatch | None = None
        self._began_at = 0.0
        self._span: TraceSpan | None = None
        self._n_output = 0
        self._n_joined: list[int] = []
        #: Whether everything is answered, and nothing more will join.
        self.is_over = not self._is_waiting

    @property
    def _is_waiting(self) -> bool:
        return self._n_begun < len(self._work.pieces)

    def take(self) -> None:
        """Stores the answers of the last step."""
        answers, self._answers = self._answers, ()
        if answers:
            self._work.answer(answers)
            if traces.is_on():
                self._n_output += sum(len(answer.tokens) for answer in answers)

    def join(self) -> None:
        """Adds waiting requests if a group of them fits. Raises ``EngineUnavailable`` or ``Unavailable``."""
        self._capacity.tokens = self._model.batch_tokens
        may_join = self._capacity.can_admit_group and not self._pipeline.shutdown.is_begun
        if joining := self._joining() if may_join else ():
            self._add(joining)
        elif not self._capacity.admitted:
            self._end()

    def step(self) -> None:
        """Takes one step of the engine. Raises ``EngineUnavailable``."""
        if self._batch is None or self.is_over:
            return
        self._answers = self._attempt(self._stepped) or ()
        for completion in self._answers:
            self._capacity.leave(completion.id)
        if self._batch is not None and self._batch.is_done and self._capacity.admitted:
            self.take()
            self._run_again(EngineError("the engine left requests unanswered"), is_alone=False)

    def _stepped(self) -> Sequence[Completion]:
        assert self._batch is not None  # noqa: S101 — ``step`` has looked
        finished = self._batch.step()
        require_known(finished, self._capacity.admitted)
        return finished

    def close(self) -> None:
        """Frees the memory that the engine holds for the batch, and counts it."""
        if self._batch is not None:
            self._batch.close()
            self._batch = None
            seconds = time.monotonic() - self._began_at
            meters.get().count_batch(self._model.spec.name, sum(self._n_joined), seconds, padding=0.0)
        if self._span is not None:
            name, kinds = self._model.spec.name, self._work.kinds(range(len(self._work.pieces)))
            self._span.add({"lengthwise.rows": sum(self._n_joined), "gen_ai.usage.output_tokens": self._n_output})
            self._span.add(semantics.of_model(name, kinds))
            self._span.end()
            self._span, self._n_output = None, 0

    def _end(self) -> None:
        self.is_over = True
        if self._batch is not None:  # the share of its time that its first requests would have taken
            seconds = (time.monotonic() - self._began_at) * self._n_joined[0] / sum(self._n_joined)
            self._model.record_batch(seconds, seconds)

    def _add(self, requests: Sequence[Request]) -> None:
        if self._batch is None:
            self._batch = self._model.engine.start()
            self._span = traces.begin("batch", traces.current())
            self._began_at, self._n_joined = time.monotonic(), []
        batch, admitted = self._batch, self._capacity.admitted
        self._n_joined.append(len(requests))
        self._runner.presence.batch(len(admitted), sum(admitted.values()))
        self._attempt(lambda: batch.add(requests))

    def _attempt(self, act: Callable[[], Result]) -> Result | None:
        """Calls the engine. After an ``EngineError`` it runs the unanswered requests again, and returns None."""
        try:
            with self._runner.watchdog.watched():
                return act()
        except EngineError as error:
            self._run_again(error, is_alone=len(self._capacity.admitted) == 1)
            return None

    def _run_again(self, error: EngineError, *, is_alone: bool) -> None:
        """Runs the unanswered requests again, in two halves, because most of them are innocent.

        The rest of the claim continues in a new batch.
        """
        if self._span is not None:
            self._span.fail(type(error).__name__)
        self.close()
        left, self._capacity.admitted = self._capacity.admitted, {}
        if left:
            if not is_alone:
                about = logs.raised(error)
                log.warning("a continuous batch failed: %s; %d to run again", error, len(left), extra=about)
            self._runner.presence.error(error)
            self._runner.isolate(self._work, self._model, list(left), error, sum(left.values()), is_alone=is_alone)

    def _joining(self) -> Sequence[Request]:
        now = time.monotonic()
        is_closed = self._is_closed_to_claims(now)
        if not is_closed and len(self._work.pieces) - self._n_begun < self._capacity.free_rows:
            self._claim(now)
        if not self._is_waiting:
            return ()
        self._prepared.lease.check()
        joining = self._choose()
        if joining:
            self._work.charge(joining, self._work.lengths(joining))
        return [self._work.request(index) for index in joining]

    def _claim(self, now: float) -> None:
        if now - self._empty_claim_at < _PAUSE_SECONDS or self._work.n_checking >= self._model.spec.batch_rows:
            return
        if self._pipeline.claimer.claim_more(self._prepared):
            self._model.grow()
        else:
            self._empty_claim_at = now

    def _is_closed_to_claims(self, now: float) -> bool:
        """Whether nothing more is claimed for this batch. Once true, it stays true.

        If a suspect is first in the pool, the batch closes: later work must not overtake the suspect, which runs alone.
        Shards of which nothing has begun are then left, and given back when the batch ends.
        """
        rotation = self._pipeline.rotation
        is_full = now > self._closes_at or len(self._work.pieces) >= _MAX_PIECES
        is_others_turn = rotation.next() != self._prepared.pool or rotation.is_suspect
        self._is_full |= is_full or is_others_turn or self._pipeline.reload.is_due()
        return self._is_full

    def _choose(self) -> list[int]:
        """The next pieces that fit and whose shards are to run here."""
        chosen: list[int] = []
        while self._is_waiting:
            index = self._n_begun
            shard_id = self._work.shard_of(index)
            if self._is_to_run(shard_id):
                if not self._capacity.admit(index, *self._work.lengths([index])):
                    break
                chosen.append(index)
                self._begun_shards.add(shard_id)
            self._n_begun += 1
        return chosen

    def _is_to_run(self, shard_id: int) -> bool:
        """Whether the shard is still held, and no suspect waits for this batch to end before the shard has begun."""
        is_left = self._is_full and self._pipeline.rotation.is_suspect and shard_id not in self._begun_shards
        return not is_left and self._prepared.lease.holds(shard_id)
