"""Runs a claim as plain batches. If a batch fails, finds the item that is to blame by halving the batch."""

import logging
import time
from collections import deque
from collections.abc import Container, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count

from lengthwise import logs, traces
from lengthwise.metrics import meters
from lengthwise.traces import TraceSpan, semantics
from worker.engine.protocol import Completion, EngineError, EngineUnavailable, OutOfMemoryError
from worker.generation.claiming import PreparedClaim
from worker.generation.models import LoadedModel
from worker.generation.pipeline import Pipeline
from worker.generation.watchdog import Watchdog
from worker.generation.work import Work
from worker.presence import Presence

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """How an engine batch ended: its completions, and the error if there was one before all requests were answered.

    ``number`` tells it apart in this process's log.
    """

    number: int
    completions: Sequence[Completion]
    error: EngineError | EngineUnavailable | None
    began_at: float
    ended_at: float


def require_known(finished: Sequence[Completion], unanswered: Container[int]) -> None:
    """Raises ``EngineError`` if one of these answers no request, or one that is answered already."""
    ids = {completion.id for completion in finished}
    if len(ids) < len(finished) or any(number not in unanswered for number in ids):
        raise EngineError("the engine answered a request twice, or one that it was not given")


class BatchRunner:
    """Runs pieces of work as engine batches. All pieces of a batch are added at its start."""

    def __init__(self, watchdog: Watchdog, presence: Presence) -> None:
        self.watchdog, self.presence = watchdog, presence
        #: The numbers of this process's batches, by which its log lines are told apart.
        self._numbers = count(1)

    def attempt(self, work: Work, model: LoadedModel, batch: Sequence[int]) -> BatchOutcome:
        """Runs one engine batch to its end. ``take`` then stores its answers."""
        number = next(self._numbers)
        with logs.bound(batch=number):
            if not traces.is_on():
                return self._attempt(work, model, batch, number)
            with traces.span("batch", traces.current()) as span:
                outcome = self._attempt(work, model, batch, number)
                _describe(span, work, model, batch, outcome)
                return outcome

    def _attempt(self, work: Work, model: LoadedModel, batch: Sequence[int], number: int) -> BatchOutcome:
        began_at, completions = time.monotonic(), list[Completion]()
        lengths = work.lengths(batch)
        computed = model.computed(lengths)
        work.charge(batch, computed)
        self.presence.batch(len(batch), sum(computed))
        unanswered = set(batch)
        error: EngineError | EngineUnavailable | None = None
        try:
            with self.watchdog.watched() as progress, closing(model.engine.start()) as running:
                running.add([work.request(index) for index in batch])
                while not running.is_done:
                    finished = running.step()
                    require_known(finished, unanswered)
                    unanswered.difference_update(completion.id for completion in finished)
                    completions += finished
                    progress()
        except (EngineError, EngineUnavailable) as raised:
            error = raised
        if error is None and unanswered:
            error = EngineError("the engine left requests unanswered")
        ended_at = time.monotonic()
        padding = 1 - sum(lengths) / max(1, sum(computed))
        meters.get().count_batch(model.spec.name, len(batch), ended_at - began_at, padding)
        return BatchOutcome(number, completions, error, began_at, ended_at)

    def take(
        self, work: Work, model: LoadedModel, batch: Sequence[int], outcome: BatchOutcome, *, is_part: bool = False
    ) -> int:
        """Stores the answers of a batch, and runs unanswered pieces again until each one is answered or has failed.

        ``is_part``: it is a part of a batch that failed, so the log knows of it already. Returns the tokens of the
        largest batch that succeeded. Raises ``EngineUnavailable``, but stores the answers first.
        """
        work.answer(outcome.completions)
        if isinstance(outcome.error, EngineUnavailable):
            raise outcome.error  # no item is to blame, and bisecting would blame an innocent one
        n_tokens = sum(model.computed(work.lengths(batch)))
        if outcome.error is None:
            model.record_batch(time.monotonic() - outcome.began_at, outcome.ended_at - outcome.began_at)
            return n_tokens
        answered = {completion.id for completion in outcome.completions}
        rest = [index for index in batch if index not in answered]
        if len(batch) > 1:
            about = logs.raised(outcome.error) | {"fields": {"batch": outcome.number}}
            level = logging.DEBUG if is_part else logging.WARNING
            log.log(
                level, "a batch of %d failed: %s; %d to run again", len(batch), outcome.error, len(rest), extra=about
            )
        self.presence.error(outcome.error)
        return self.isolate(work, model, rest, outcome.error, n_tokens, is_alone=len(batch) == 1)

    def isolate(
        self, work: Work, model: LoadedModel, rest: Sequence[int], error: EngineError, n_tokens: int, *, is_alone: bool
    ) -> int:
        """Runs the unanswered pieces of a failed batch of ``n_tokens`` again, in two halves.

        If the batch had a single piece, that piece is to blame and its item fails. Returns the tokens of the largest
        part that succeeded. Raises ``EngineUnavailable``.
        """
        is_memory = isinstance(error, OutOfMemoryError)
        if is_alone:
            for index in rest:
                about = logs.raised(error) | {"fields": work.place(index)}
                log.warning("an item failed, on its own: %s", error, extra=about)
                work.fail(index, "out_of_memory" if is_memory else "engine_error")
            return 0
        if is_memory:
            model.shrink(n_tokens * work.beams)
        middle = (len(rest) + 1) // 2
        fitting = 0
        for half in (rest[:middle], rest[middle:]):
            if half:
                fitting = max(fitting, self._take_part(work, model, half))
        if is_memory:  # one large item must not make all later batches small
            model.allow(fitting * work.beams)
        return fitting

    def _take_part(self, work: Work, model: LoadedModel, part: Sequence[int]) -> int:
        return self.take(work, model, part, self.attempt(work, model, part), is_part=True)


def _describe(span: TraceSpan, work: Work, model: LoadedModel, batch: Sequence[int], outcome: BatchOutcome) -> None:
    lengths = work.lengths(batch)
    n_output = sum(len(completion.tokens) for completion in outcome.completions)
    figures = {"lengthwise.rows": len(batch), "lengthwise.computed_tokens": sum(model.computed(lengths))}
    span.add(figures | semantics.of_usage(sum(lengths), n_output))
    span.add(semantics.of_model(model.spec.name, work.kinds(batch)))
    if outcome.error is not None:
        span.fail(type(outcome.error).__name__)


class PlannedBatches:
    """A claim as plain batches of similar lengths, planned in advance. A step runs one batch to its end."""

    def __init__(self, prepared: PreparedClaim, pipeline: Pipeline, runner: BatchRunner, *, looks_ahead: bool) -> None:
        self._prepared, self._pipeline, self._runner = prepared, pipeline, runner
        self._work, self._model, self._looks_ahead = prepared.work, prepared.model, looks_ahead
        self._planned: deque[list[int]] = deque()
        #: Pieces that are planned already. Retries add further pieces to the work.
        self._n_planned = prepared.work.n_begun
        self._batch: list[int] = []
        self._outcome: BatchOutcome | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to run, or the worker shuts down."""
        is_empty = not self._planned and self._n_planned == len(self._work.pieces)
        return is_empty or self._pipeline.shutdown.is_begun

    def take(self) -> None:
        """Stores the answers of the last batch. Raises ``EngineUnavailable``."""
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            self._runner.take(self._work, self._model, self._batch, outcome)

    def join(self) -> None:
        """Chooses the next batch. Leaves out shards that the lease no longer holds."""
        if not self._planned:
            self._plan()
        planned = self._planned.popleft()
        if self._looks_ahead:
            self._pipeline.look_ahead(self._prepared, len(self._planned) + 1)
        lease = self._prepared.lease
        lease.check()
        self._batch = [index for index in planned if lease.holds(self._work.shard_of(index))]

    def step(self) -> None:
        """Runs the batch to its end."""
        if self._batch:
            self._outcome = self._runner.attempt(self._work, self._model, self._batch)

    def _plan(self) -> None:
        first, self._n_planned = self._n_planned, len(self._work.pieces)
        batches = self._model.plan(self._work.lengths(range(first, self._n_planned)), self._work.beams)
        # The most urgent items come first in a claim. Their batch must not wait for batches of longer items.
        self._planned.extend([first + index for index in batch] for batch in sorted(batches, key=min))
