"""Runs a claim as a batch that others join: as rows end, what waits takes their place, claimed as it is needed.

An engine that writes answers of unlike lengths would otherwise run most of its steps with few rows, to the end of the
longest.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence

from lengthwise import settings
from worker import shutdown
from worker.engine.protocol import Completion, EngineError, EngineUnavailable, OpenEngine, Request
from worker.generation import batch, claiming, model_reload, watchdog
from worker.generation.capacity import Capacity
from worker.generation.claiming import PreparedClaim
from worker.generation.pipeline import Pipeline, SettlementSchedule

log = logging.getLogger(__name__)

#: So much a batch takes in at most, for it remembers all of it.
_MOST_PIECES = 10_000
#: How long after a claim in vain another one is tried.
_PAUSE_SECONDS = 0.1


class ContinuousBatch:
    """One claim, and what is claimed beside it under the same token."""

    def __init__(
        self, prepared: PreparedClaim, pipeline: Pipeline, run_between: Callable[[PreparedClaim], None]
    ) -> None:
        self._prepared, self._pipeline, self._run_between = prepared, pipeline, run_between
        self._work, self._model = prepared.work, prepared.model
        self._settling = SettlementSchedule(prepared, pipeline)
        self._closes_at = time.monotonic() + settings.get().open_seconds
        self._claimed_in_vain_at = -math.inf
        #: Pieces that were given to the engine, or need not be any more.
        self._n_begun = 0
        #: Those that it has not answered.
        self._room = Capacity(self._model.spec.batch_rows, self._model.batch_tokens)
        self._answers: list[Completion] = []
        self._n_joined: list[int] = []
        self._is_closed = False
        self._failure: Exception | None = None

    def run(self, engine: OpenEngine) -> None:
        """Answers or fails each of the pieces, unless the worker is stopping; settles the shards as they become whole.

        Raises ``EngineUnavailable``, with some of them answered, and what went wrong between two steps.
        """
        while self._is_waiting and not shutdown.is_stopping() and self._failure is None:
            error = self._run_dry(engine)
            left, self._room.in_hand = self._room.in_hand, {}
            self._take_answers()
            if isinstance(error, EngineUnavailable):
                raise error
            if left:
                # Who was forgotten may have been so for the others' sake.
                is_alone = error is not None and len(left) == 1
                error = error or EngineError("the engine left requests unanswered")
                log.warning("open batch failed (%s), %d to run again", type(error).__name__, len(left))
                batch.isolate(self._work, self._model, list(left), error, sum(left.values()), is_alone=is_alone)
        if self._failure is not None:
            raise self._failure

    @property
    def _is_waiting(self) -> bool:
        return self._n_begun < len(self._work.pieces)

    def _run_dry(self, engine: OpenEngine) -> EngineError | EngineUnavailable | None:
        """Until nothing joins and all is answered."""
        began_at, self._n_joined = time.monotonic(), []
        with watchdog.watched() as progress:

            def source() -> Sequence[Request]:
                joining = self._between_steps()
                progress()
                return joining

            try:
                for completion in engine.generate_from(source):
                    self._room.leave(completion.id)
                    self._answers.append(completion)
            except (EngineError, EngineUnavailable) as error:
                return error
        if self._n_joined:  # as long as a batch of those that it began with would take
            seconds = (time.monotonic() - began_at) * self._n_joined[0] / sum(self._n_joined)
            self._model.took(seconds, seconds)
        return None

    def _between_steps(self) -> Sequence[Request]:
        """The engine would take an error for its own: it is kept, and nothing joins any more."""
        if self._failure is None:
            try:
                return self._go_on()
            except Exception as error:
                self._failure = error
        return ()

    def _go_on(self) -> Sequence[Request]:
        is_waited_for = self._prepared.is_urgent  # what is whole is no more among what is open
        self._take_answers()
        self._settling.settle(at_once=is_waited_for)
        if shutdown.is_stopping():
            return ()
        if urgent := self._pipeline.more_urgent(self._prepared):
            self._run_between(urgent)
        self._room.tokens = self._model.batch_tokens
        return self._joining() if self._room.is_wide else ()

    def _take_answers(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            self._work.answer(answers)

    def _joining(self) -> Sequence[Request]:
        if len(self._work.pieces) - self._n_begun < self._room.free_rows:
            self._claim()
        if not self._is_waiting:
            return ()
        self._prepared.lease.check()
        if joining := self._take():
            computed = self._work.lengths(joining)
            self._work.charge(joining, computed)
            self._n_joined.append(len(joining))
        return [self._work.request(index) for index in joining]

    def _claim(self) -> None:
        now = time.monotonic()
        if now - self._claimed_in_vain_at < _PAUSE_SECONDS or self._is_to_end(now):
            return
        if claiming.claim_more(self._prepared):
            self._model.grow()
        else:
            self._claimed_in_vain_at = now

    def _is_to_end(self, now: float) -> bool:
        """Whether nothing more is claimed for it, so that its end is near; it stays so.

        A suspect that is first in the pool must not wait behind what comes after it, nor join others.
        """
        turn = self._pipeline.turn
        is_full = now > self._closes_at or len(self._work.pieces) >= _MOST_PIECES
        is_others_turn = turn.next() != self._prepared.pool or turn.is_suspect
        self._is_closed |= is_full or is_others_turn or model_reload.is_due()
        return self._is_closed

    def _take(self) -> list[int]:
        """The next pieces that there is room for and that are still held."""
        taken: list[int] = []
        while self._is_waiting:
            index = self._n_begun
            if self._prepared.lease.holds(self._work.shard_of(index)):
                if not self._room.admit(index, *self._work.lengths([index])):
                    break
                taken.append(index)
            self._n_begun += 1
        return taken
