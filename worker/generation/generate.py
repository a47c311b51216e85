"""Handles a generation bell: claims, runs and settles work for a slice of time. Models stay loaded afterwards."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Protocol

from lengthwise import logs, queue
from lengthwise.errors import ConfigurationError, Unavailable
from worker.engine.protocol import EngineUnavailable
from worker.generation.answer_checks import AnswerChecks
from worker.generation.batch import BatchRunner, PlannedBatches
from worker.generation.checking import CheckedClaims
from worker.generation.claiming import Claimer, PreparedClaim
from worker.generation.continuous_batch import ContinuousBatch
from worker.generation.distance import Distance
from worker.generation.model_reload import ModelReload
from worker.generation.models import LoadedModels
from worker.generation.pipeline import Pipeline, SettlementSchedule
from worker.generation.pool_rotation import PassedOver, PoolRotation
from worker.generation.process_tuning import FreedMemory
from worker.generation.watchdog import Watchdog
from worker.presence import Presence
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)


class RunningClaim(Protocol):
    """A claim that runs, as a continuous batch or as a series of plain batches."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to run."""
        ...

    def take(self) -> None:
        """Stores the answers of the last step."""
        ...

    def join(self) -> None:
        """Chooses what runs next."""
        ...

    def step(self) -> None:
        """Lets the engine compute one step."""
        ...


class Generator:
    """Runs claims on the models of this process."""

    def __init__(
        self, models: LoadedModels, reload: ModelReload, watchdog: Watchdog, shutdown: Shutdown, presence: Presence
    ) -> None:
        self._models, self._reload, self._shutdown = models, reload, shutdown
        self._presence = presence
        self._checks, self._passed_over = AnswerChecks(), PassedOver()
        self.claimer = Claimer(models, self._checks, watchdog, shutdown, Distance())
        self._watchdog = watchdog
        self.runner = BatchRunner(watchdog, presence)
        self._freed = FreedMemory()

    def _run_steps(
        self, running: RunningClaim, prepared: PreparedClaim, claims: CheckedClaims, *, is_urgent: bool = False
    ) -> None:
        """Runs steps until every item has an answer, and settles shards as they are finished."""
        pipeline = claims.pipeline
        schedule = SettlementSchedule(prepared, pipeline)
        while True:
            self._watchdog.step()
            is_waited_for = prepared.is_urgent  # read first: ``take`` may finish the shard that a caller waits for
            running.take()
            prepared.work.take_checked()
            schedule.settle(immediately=is_waited_for)
            if running.is_over:
                return
            again = None if is_urgent else claims.collect(urgent=True)
            if urgent := again or pipeline.more_urgent(prepared, is_nested=is_urgent):
                self.run(urgent, claims, is_urgent=True)
            self._presence.pool = prepared.pool  # an urgent claim may have run meanwhile
            running.join()
            running.step()

    def generate(self, pool: str) -> None:
        """Works on ``pool`` and on more urgent pools until nothing waits or the slice of time is over."""
        rotation = self.rotation(pool)
        try:
            with self._watchdog.watched(), self._reload.engines, self.claims(rotation) as claims:
                while prepared := claims.next():
                    self._watchdog.step()
                    self.run(prepared, claims)
                    del prepared  # it refers to its model, which must be freed before a newer revision is loaded
                    self._freed.release()
                    if rotation.is_over and claims.is_empty:
                        break
                else:
                    if not self._shutdown.is_begun:
                        return
        except (Unavailable, ConfigurationError) as error:  # the second: models.toml was never valid in this process
            log.warning("leaving the pool %s until the sweep rings: %s", rotation.pool, error)
            self._presence.error(error)
            return
        queue.ring(queue.GENERATE, [rotation.pool])

    def rotation(self, pool: str) -> PoolRotation:
        """The rotation of a task that begins with this pool."""
        return PoolRotation(pool, self._models, self._passed_over)

    def pipeline(self, rotation: PoolRotation) -> Pipeline:
        return Pipeline(rotation, self.claimer, self._reload, self._shutdown, self._presence)

    @contextmanager
    def claims(self, rotation: PoolRotation) -> Iterator[CheckedClaims]:
        with self.pipeline(rotation) as pipeline, CheckedClaims(pipeline, self._checks) as claims:
            yield claims

    def run(self, prepared: PreparedClaim, claims: CheckedClaims, *, is_urgent: bool = False) -> None:
        """Runs a claim, settles its finished shards, and gives back the others or lets their answers be checked.

        ``is_urgent``: the claim runs between two steps of another one.
        """
        with prepared.current():
            self._run_current(prepared, claims, is_urgent=is_urgent)

    def _run_current(self, prepared: PreparedClaim, claims: CheckedClaims, *, is_urgent: bool) -> None:
        try:
            self._compute(prepared, claims, is_urgent=is_urgent)
        except EngineUnavailable as error:
            prepared.model.pause(error.retry_after)
            name, seconds = prepared.model.spec.name, prepared.model.pause_seconds
            self._presence.error(error)
            self._presence.paused(name, seconds, error)
            log.warning("model %s pauses for %.0f s: %s", name, seconds, error, extra=logs.raised(error))
            claims.pipeline.finish(prepared)
        except BaseException:
            prepared.lease.stop()  # otherwise it would be renewed for ever
            raise
        else:
            prepared.work.n_begun = len(prepared.work.pieces)
            claims.finish(prepared)

    def _compute(self, prepared: PreparedClaim, claims: CheckedClaims, *, is_urgent: bool) -> None:
        model, pipeline = prepared.model, claims.pipeline
        if model.pause_seconds:
            return  # it was claimed before its engine became unavailable
        model.grow()
        if model.capabilities.is_continuous and not is_urgent and not prepared.is_suspect:
            with closing(ContinuousBatch(prepared, pipeline, self.runner)) as continuous:
                self._run_steps(continuous, prepared, claims)
        else:
            planned = PlannedBatches(prepared, pipeline, self.runner, looks_ahead=not is_urgent)
            self._run_steps(planned, prepared, claims, is_urgent=is_urgent)
