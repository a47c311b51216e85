"""Claims that the engine has done with while threads still check their answers. Other claims run meanwhile."""

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lengthwise import settings
from worker.generation.answer_checks import AnswerChecks
from worker.generation.claiming import PreparedClaim
from worker.generation.pipeline import Pipeline

#: How long a claim is waited for at its end before another one runs. Most answers need less than a thousandth.
_BRIEF_SECONDS = 0.01
#: Answers that must be asked for again are asked for together: when all are checked, or after this time.
_TOGETHER_SECONDS = 0.2
#: While so many claims are being checked, only urgent work begins; while twice as many are, nothing does.
_MAX_CLAIMS = 4
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class _CheckedClaim:
    prepared: PreparedClaim
    #: When the engine had done with it, and when one of its checks last ended, by the monotonic clock.
    since: float
    moved_at: float


class CheckedClaims:
    """The claims of one slice of time whose answers are being checked. On exit, they are finished as they are."""

    def __init__(self, pipeline: Pipeline, checks: AnswerChecks) -> None:
        self.pipeline, self._checks = pipeline, checks
        self._claims: list[_CheckedClaim] = []

    def next(self) -> PreparedClaim | None:
        """The claim to run now: one of these whose answers are to be asked for again, or a new one.

        None if nothing waits. Raises ``Unavailable``.
        """
        pipeline = self.pipeline
        while self._claims and not pipeline.shutdown.is_begun:
            if again := self.collect():
                return again
            if found := self._other():
                return found
            self._checks.wait(_POLL_SECONDS)
        return pipeline.next()

    def _other(self) -> PreparedClaim | None:
        pipeline, n_claims = self.pipeline, len(self._claims)
        hung_since = time.monotonic() - settings.get().hang_seconds / 2
        if any(each.moved_at < hung_since for each in self._claims):
            return None  # the steps of other claims would hide the check that hangs from the watchdog
        if n_claims < _MAX_CLAIMS and not pipeline.rotation.is_over:
            return pipeline.next(is_alone=not n_claims)
        return pipeline.claimer.prepare_urgent() if n_claims < 2 * _MAX_CLAIMS else None

    @property
    def is_empty(self) -> bool:
        return not self._claims

    def finish(self, prepared: PreparedClaim) -> None:
        """Finishes a claim that has run, now or once its answers are checked. Raises ``Unavailable``."""
        work = prepared.work
        if work.is_checking:
            self._wait_briefly(prepared)
        if (work.is_checking or work.is_waiting) and not self.pipeline.shutdown.is_begun:
            now = time.monotonic()
            self._claims.append(_CheckedClaim(prepared, now, now))
        else:
            self.pipeline.finish(prepared)

    def _wait_briefly(self, prepared: PreparedClaim) -> None:
        ends_at = time.monotonic() + _BRIEF_SECONDS
        try:
            while prepared.work.is_checking and time.monotonic() < ends_at:
                self._checks.wait(_BRIEF_SECONDS)
                prepared.work.take_checked()
        except BaseException:
            prepared.lease.stop()  # otherwise it would be renewed for ever
            raise

    def collect(self, *, urgent: bool = False) -> PreparedClaim | None:
        """Takes what was checked meanwhile, and settles it. Returns a claim that must run again, an ``urgent`` one."""
        for each in list(self._claims):
            prepared, now = each.prepared, time.monotonic()
            work, is_urgent = prepared.work, prepared.is_urgent
            if work.take_checked():
                each.moved_at = now
            if work.is_waiting and (not work.is_checking or now - each.since > _TOGETHER_SECONDS):
                if is_urgent or not urgent:
                    self._claims.remove(each)
                    return prepared
            elif not work.is_checking:
                self._claims.remove(each)
                self.pipeline.finish(prepared)
            elif finished := work.take_finished():
                self.pipeline.settle(prepared, finished)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._claims:
            prepared = self._claims.pop().prepared
            if error is None:
                self.pipeline.finish(prepared)
            else:
                prepared.lease.stop()  # otherwise it would be renewed for ever
