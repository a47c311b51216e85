"""Keeps the engine busy: while it computes, the next claim is made ready and what is whole is settled, in threads.

An engine that is done sooner than a thread has its turn gains nothing by threads: its claims and settlements are made
in between, by its own thread.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from threading import Event
from types import TracebackType
from typing import Self

from lengthwise.errors import Unavailable
from lengthwise.ledger.queue.settle import Settlement
from worker import shutdown
from worker.generation import model_reload, settlement
from worker.generation.claiming import PreparedClaim, give_back, prepare, prepare_urgent
from worker.generation.models import averaged
from worker.generation.pool_rotation import PoolRotation

log = logging.getLogger(__name__)

#: A claim is begun so many times before the engine needs it as such claims took: the later, the sooner an urgent item
#: has its turn. At first, and at most, it is this many seconds.
_LEAD_FACTOR = 1.5
_LEAD_SECONDS = 0.02
#: How old a claim may be before its next batch without anything more urgent being looked for: that waits no longer than
#: this and the batch in hand. A quick engine's is asked less often: what it runs is soon over.
_LOOK_SECONDS = 0.001
_QUICK_LOOK_SECONDS = 0.01
#: Batches, or steps, that are quicker than this are settled together: a settlement costs some round trips.
_SETTLE_SECONDS = 0.05
#: Settlements under way at once; the engine waits for the database beyond.
_MAX_UNSETTLED = 2


class _Lead:
    """How long before it is needed a claim is begun, by how long the last ones took."""

    def __init__(self) -> None:
        self._average: float | None = None

    def seconds(self) -> float:
        return _LEAD_SECONDS if self._average is None else min(_LEAD_SECONDS, _LEAD_FACTOR * self._average)

    def took(self, seconds: float) -> None:
        self._average = averaged(self._average, seconds)


_lead = _Lead()


class Pipeline:
    """Around one slice of work. Everything that it began is settled or given back when it is left."""

    def __init__(self, turn: PoolRotation) -> None:
        self.turn = turn
        self._threads = ThreadPoolExecutor(1, "claim"), ThreadPoolExecutor(1, "settle")
        self._ahead: Future[PreparedClaim | None] | None = None
        self._is_needed = Event()
        self._unsettled: deque[Future[None]] = deque()
        self._looked_at = -math.inf

    def next(self) -> PreparedClaim | None:
        """What is to be run now; None when nothing waits. Raises ``Unavailable``."""
        ahead, self._ahead = self._ahead, None
        self._is_needed.set()  # the batch took less time than was thought
        prepared = ahead.result() if ahead else None
        if prepared is None:
            if model_reload.is_due():
                self._catch_up()  # what is settled behind holds its model
                model_reload.renew()
            prepared = prepare(self.turn)
        if prepared is not None and prepared.is_suspect:
            try:
                self._catch_up()
            except BaseException:
                give_back(prepared)  # or its lease would be renewed for ever
                raise
        return prepared

    def more_urgent(self, current: PreparedClaim) -> PreparedClaim | None:
        """A batch of what somebody waits for that came after ``current``; None, too, if it was looked for just now."""
        now, known_at = time.monotonic(), max(current.claimed_at, self._looked_at)
        pause = _LOOK_SECONDS if current.model.is_slow else _QUICK_LOOK_SECONDS
        if current.is_urgent or current.is_suspect or now - known_at < pause:
            return None
        self._looked_at = now
        try:
            return prepare_urgent(self.turn.pool)
        except Unavailable as error:  # what is in hand can run without a database
            log.warning("not looked for anything more urgent: %s", error)
            return None

    def look_ahead(self, current: PreparedClaim) -> None:
        """Makes the next claim ready in time for the end of a batch that begins now and is the last of ``current``."""
        if not current.model.is_slow or current.is_suspect or self._ahead is not None:
            return
        if self.turn.is_over or shutdown.is_stopping() or model_reload.is_due():
            return
        needed_at = time.monotonic() + (current.model.batch_seconds or 0.0)
        self._is_needed.clear()

        def in_time() -> PreparedClaim | None:
            self._is_needed.wait(max(0.0, needed_at - _lead.seconds() - time.monotonic()))
            began_at = time.monotonic()
            prepared = prepare(self.turn, with_suspects=False)
            _lead.took(time.monotonic() - began_at)
            return prepared

        self._ahead = self._threads[0].submit(in_time)

    def settle(self, prepared: PreparedClaim, whole: Sequence[Settlement]) -> None:
        """Writes these results, now or soon. Raises ``Unavailable`` for these or earlier ones.

        Those that somebody waits for are written before anything else is begun: behind the next batch's claim, on
        its core, they would take three times as long.
        """
        write = partial(settlement.put, prepared.claim.token, whole)
        if any(prepared.claim.shards[done.shard_id].is_interactive for done in whole):
            write()
        else:
            self._behind(prepared, write)

    def finish(self, prepared: PreparedClaim) -> None:
        """Settles what is whole of a claim, and gives back the rest; its lease lives until that is done."""
        whole = prepared.work.whole()

        def last() -> None:
            try:
                settlement.put(prepared.claim.token, whole)
            finally:
                give_back(prepared)

        self._behind(prepared, last)

    def _behind(self, prepared: PreparedClaim, write: Callable[[], None]) -> None:
        if not prepared.model.is_slow and not self._unsettled:
            write()
            return
        # First, whatever became of those before: with the last one of a claim its lease ends.
        self._unsettled.append(self._threads[1].submit(write))
        while len(self._unsettled) > _MAX_UNSETTLED:
            self._unsettled.popleft().result()

    def _catch_up(self) -> None:
        """Waits until everything that was settled behind is written."""
        while self._unsettled:
            self._unsettled.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_needed.set()
        with ExitStack() as ending:  # each of these whatever the others raise: a lease must end
            for threads in self._threads:
                ending.callback(threads.shutdown)
            ending.callback(self._give_back_ahead)
            self._catch_up()

    def _give_back_ahead(self) -> None:
        unused = self._ahead.result() if self._ahead else None
        if unused is not None:
            give_back(unused)


class SettlementSchedule:
    """Of one claim, now and then while it runs."""

    def __init__(self, prepared: PreparedClaim, pipeline: Pipeline) -> None:
        self._prepared, self._pipeline = prepared, pipeline
        self._settled_at = time.monotonic()

    def settle(self, *, at_once: bool) -> None:
        """Settles what is whole, if it is time to, or somebody waits for it."""
        if not at_once and time.monotonic() - self._settled_at <= _SETTLE_SECONDS:
            return
        if whole := self._prepared.work.whole():
            self._pipeline.settle(self._prepared, whole)
        self._settled_at = time.monotonic()
