"""Keeps the engine busy: while it computes, threads prepare the next claim and settle whole shards.

If an engine's batches are shorter than a thread's switch, threads do not pay: its own thread then claims and settles
between two batches.
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
from worker.generation import settlement
from worker.generation.claiming import Claimer, PreparedClaim, give_back
from worker.generation.model_reload import ModelReload
from worker.generation.models import averaged
from worker.generation.pool_rotation import PoolRotation
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

#: The next claim begins this many average claim times before the engine needs it, and at most this many seconds before.
#: The later it begins, the less an urgent item has to wait behind it.
_LEAD_FACTOR = 1.5
_LEAD_SECONDS = 0.02
#: Between two batches the worker looks for urgent work if the claim, or the last look, is older than this. With a quick
#: engine it looks less often, because what that runs is soon over.
_LOOK_SECONDS = 0.001
_QUICK_LOOK_SECONDS = 0.01
#: The shortest time between two settlements, because each costs some round trips to the database.
_SETTLE_SECONDS = 0.05
#: Settlements under way at once; with more of them the engine waits for the database.
_MAX_UNSETTLED = 2


class ClaimLead:
    """How long before it is needed the next claim begins, estimated from the last ones."""

    def __init__(self) -> None:
        self._average: float | None = None

    def seconds(self) -> float:
        return _LEAD_SECONDS if self._average is None else min(_LEAD_SECONDS, _LEAD_FACTOR * self._average)

    def took(self, seconds: float) -> None:
        self._average = averaged(self._average, seconds)


class Pipeline:
    """Surrounds one slice of work. On exit everything that it began is settled or given back."""

    def __init__(
        self, rotation: PoolRotation, claimer: Claimer, reload: ModelReload, lead: ClaimLead, shutdown: Shutdown
    ) -> None:
        self.rotation, self.claimer, self.reload, self.shutdown = rotation, claimer, reload, shutdown
        self._lead = lead
        self._threads = ThreadPoolExecutor(1, "claim"), ThreadPoolExecutor(1, "settle")
        self._ahead: Future[PreparedClaim | None] | None = None
        self._is_needed = Event()
        self._unsettled: deque[Future[None]] = deque()
        self._looked_at = -math.inf

    def next(self) -> PreparedClaim | None:
        """Returns the claim to run now, or None if nothing waits. Raises ``Unavailable``."""
        ahead, self._ahead = self._ahead, None
        self._is_needed.set()  # the batch took less time than expected
        prepared = ahead.result() if ahead else None
        if prepared is None:
            if self.reload.is_due():
                self._catch_up()  # settlements under way refer to the old model
                self.reload.run()
            prepared = self.claimer.prepare(self.rotation)
        if prepared is not None and prepared.is_suspect:
            try:
                self._catch_up()
            except BaseException:
                give_back(prepared)  # otherwise its lease would be renewed for ever
                raise
        return prepared

    def more_urgent(self, current: PreparedClaim) -> PreparedClaim | None:
        """Claims a batch that somebody waits for and that came after ``current``; None if it looked just now."""
        now, known_at = time.monotonic(), max(current.claimed_at, self._looked_at)
        pause = _LOOK_SECONDS if current.model.is_slow else _QUICK_LOOK_SECONDS
        if current.is_urgent or current.is_suspect or now - known_at < pause:
            return None
        self._looked_at = now
        try:
            return self.claimer.prepare_urgent(self.rotation.pool)
        except Unavailable as error:  # the claim in hand can run without a database
            log.warning("could not look for urgent work: %s", error)
            return None

    def look_ahead(self, current: PreparedClaim) -> None:
        """Prepares the next claim by the time that the last batch of ``current``, which begins now, will end."""
        if not current.model.is_slow or current.is_suspect or self._ahead is not None:
            return
        if self.rotation.is_over or self.shutdown.is_begun or self.reload.is_due():
            return
        needed_at = time.monotonic() + (current.model.batch_seconds or 0.0)
        self._is_needed.clear()

        def in_time() -> PreparedClaim | None:
            self._is_needed.wait(max(0.0, needed_at - self._lead.seconds() - time.monotonic()))
            began_at = time.monotonic()
            prepared = self.claimer.prepare(self.rotation, with_suspects=False)
            self._lead.took(time.monotonic() - began_at)
            return prepared

        self._ahead = self._threads[0].submit(in_time)

    def settle(self, prepared: PreparedClaim, whole: Sequence[Settlement]) -> None:
        """Writes these results, now or soon. Raises ``Unavailable`` for these or earlier ones.

        Results that somebody waits for are written before anything else begins. In a thread, beside the next batch,
        that would take three times as long.
        """
        write = partial(settlement.put, prepared.claim.token, whole)
        if any(prepared.claim.shards[done.shard_id].is_interactive for done in whole):
            write()
        else:
            self._behind(prepared, write)

    def finish(self, prepared: PreparedClaim) -> None:
        """Settles all whole shards of a claim and gives back the others. Its lease is renewed until that is done."""
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
        # Submitted before waiting for earlier ones, which may raise: the last one of a claim also ends its lease.
        self._unsettled.append(self._threads[1].submit(write))
        while len(self._unsettled) > _MAX_UNSETTLED:
            self._unsettled.popleft().result()

    def _catch_up(self) -> None:
        """Waits until all settlements under way are written."""
        while self._unsettled:
            self._unsettled.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_needed.set()
        with ExitStack() as ending:  # all of them, whatever the others raise: a lease must end
            for threads in self._threads:
                ending.callback(threads.shutdown)
            ending.callback(self._give_back_ahead)
            self._catch_up()

    def _give_back_ahead(self) -> None:
        unused = self._ahead.result() if self._ahead else None
        if unused is not None:
            give_back(unused)


class SettlementSchedule:
    """When the whole shards of a running claim are settled."""

    def __init__(self, prepared: PreparedClaim, pipeline: Pipeline) -> None:
        self._prepared, self._pipeline = prepared, pipeline
        self._settled_at = time.monotonic()

    def settle(self, *, at_once: bool) -> None:
        """Settles all whole shards if it is time to, or ``at_once``."""
        if not at_once and time.monotonic() - self._settled_at <= _SETTLE_SECONDS:
            return
        if whole := self._prepared.work.whole():
            self._pipeline.settle(self._prepared, whole)
        self._settled_at = time.monotonic()
