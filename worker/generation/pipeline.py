"""Keeps the engine busy: while it computes, threads prepare the next claim and settle finished shards.

If the engine's batches are very short and the database is near, switching threads would cost more than it saves. The
engine's thread then claims and settles between two batches.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from threading import Event
from types import TracebackType
from typing import Self
from uuid import UUID

from lengthwise.errors import Unavailable
from lengthwise.ledger.queue.settle import Settlement
from worker.generation import settlement
from worker.generation.claiming import Claimer, PreparedClaim, give_back
from worker.generation.model_reload import ModelReload
from worker.generation.pool_rotation import PoolRotation
from worker.presence import Presence
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

#: The next claim begins this many average claim times before the engine needs it. If the database is near, it begins at
#: most this many seconds before.
#: If it began earlier, urgent items that come after it would wait longer.
_LEAD_FACTOR = 1.5
_LEAD_SECONDS = 0.02
#: Between two batches the worker looks for urgent work if its claim and its last look are older than this. With a quick
#: engine it looks less often, because its claims end soon.
_LOOK_SECONDS = 0.001
_QUICK_LOOK_SECONDS = 0.01
#: An urgent claim that takes longer than this lets short urgent ones run between its batches, as often.
_SHARE_SECONDS = 0.1
#: The shortest time between two settlements. Each costs some round trips to the database.
_SETTLE_SECONDS = 0.05
#: The most settlements that may be under way. Beyond them, the engine waits for the database.
_MAX_UNSETTLED = 2


class Pipeline:
    """The claims and settlements of one slice of time. On exit, all of them are settled or given back."""

    def __init__(
        self, rotation: PoolRotation, claimer: Claimer, reload: ModelReload, shutdown: Shutdown, presence: Presence
    ) -> None:
        self.rotation, self.claimer, self.reload, self.shutdown = rotation, claimer, reload, shutdown
        self._presence = presence
        self._distance = claimer.distance
        self._threads = ThreadPoolExecutor(1, "claim"), ThreadPoolExecutor(1, "settle"), ThreadPoolExecutor(1, "look")
        self._urgent: Future[PreparedClaim | None] | None = None
        self._ahead: Future[PreparedClaim | None] | None = None
        self._is_needed = Event()
        self._unsettled: deque[Future[None]] = deque()
        self._looked_at = -math.inf

    def next(self, *, is_alone: bool = True) -> PreparedClaim | None:
        """Returns the claim to run now, or None if nothing waits. Raises ``Unavailable``.

        ``is_alone``: no other claim is unfinished. Only then a suspect is claimed, and models are reloaded.
        """
        ahead, self._ahead = self._ahead, None
        self._is_needed.set()  # in case the batch ended earlier than expected
        prepared = ahead.result() if ahead else None
        if prepared is None:
            if self.reload.is_due():
                if not is_alone:
                    return self._take_urgent()
                self._wait_for_settlements()  # what is under way keeps the old model in memory
                self._give_back_urgent()
                self.reload.run()
            prepared = self.claimer.prepare(self.rotation, with_suspects=is_alone)
        if prepared is None:
            return self._take_urgent()
        if prepared.is_suspect:
            try:
                self._wait_for_settlements()
                self._give_back_urgent()  # it would be blamed too
            except BaseException:
                give_back(prepared)  # otherwise its lease would be renewed for ever
                raise
        return prepared

    def more_urgent(self, current: PreparedClaim, *, is_nested: bool = False) -> PreparedClaim | None:
        """Claims an interactive batch that came after ``current``; None if there is none or it looked just now.

        If ``current`` is urgent, or runs between two steps of another claim, only short work is claimed, and none if
        it is short itself: no caller waits for the end of another's long text.
        """
        is_sharing = current.is_urgent or is_nested
        now, known_at = time.monotonic(), max(current.claimed_at, self._looked_at)
        pause = _LOOK_SECONDS if current.model.is_slow else _QUICK_LOOK_SECONDS
        if current.is_suspect or now - known_at < (_SHARE_SECONDS if is_sharing else pause):
            return None
        if is_sharing and current.is_short:
            return None
        beside = current if is_sharing else None
        if self._distance.is_far:
            return self._urgent_beside(beside)
        self._looked_at = now
        try:
            return self.claimer.prepare_urgent(beside)
        except Unavailable as error:  # the running claim needs no database
            log.warning("could not look for urgent work: %s", error)
            return None

    def _urgent_beside(self, beside: PreparedClaim | None) -> PreparedClaim | None:
        """What the last look found, if it has ended. If that is nothing, the next one begins, beside the engine."""
        if self._urgent is not None and not self._urgent.done():
            return None
        found = self._take_urgent()
        if found is None:  # otherwise that one runs first, and others may take what comes meanwhile
            self._urgent = self._threads[2].submit(self.claimer.prepare_urgent, beside)
        return found

    def _take_urgent(self) -> PreparedClaim | None:
        """What the last look found. Waits until it has ended."""
        looking, self._urgent = self._urgent, None
        try:
            return looking.result() if looking else None
        except Unavailable as error:
            log.warning("could not look for urgent work: %s", error)
            return None

    def _give_back_urgent(self) -> None:
        if urgent := self._take_urgent():
            give_back(urgent)

    def look_ahead(self, current: PreparedClaim, n_batches: int) -> None:
        """Prepares the next claim in a thread, to be ready when the last ``n_batches`` of ``current`` have run.

        If the database is near, call it only before the last one.
        """
        if n_batches > 1 and not self._distance.is_far:
            return
        if not self._works_beside(current) or current.is_suspect or self._ahead is not None:
            return
        if self.rotation.is_over or self.shutdown.is_begun or self.reload.is_due():
            return
        needed_at = time.monotonic() + n_batches * (current.model.batch_seconds or 0.0)
        self._is_needed.clear()

        def in_time() -> PreparedClaim | None:
            self._is_needed.wait(max(0.0, needed_at - self._lead_seconds() - time.monotonic()))
            with self._distance.claiming():
                return self.claimer.prepare(self.rotation, with_suspects=False)

        self._ahead = self._threads[0].submit(in_time)

    def _works_beside(self, current: PreparedClaim) -> bool:
        """Whether threads are worth their switches: the engine's batches are long, or the database's answers are."""
        return current.model.is_slow or self._distance.is_far

    def _lead_seconds(self) -> float:
        """How early the next claim must begin to be ready in time."""
        known = self._distance.claim_seconds
        if known is None:
            return _LEAD_SECONDS
        return _LEAD_FACTOR * known if self._distance.is_far else min(_LEAD_SECONDS, _LEAD_FACTOR * known)

    @property
    def must_wait_to_settle(self) -> bool:
        """Whether settlements are under way to a far database: what is finished meanwhile is settled together."""
        return self._distance.is_far and any(not each.done() for each in self._unsettled)

    def settle(self, prepared: PreparedClaim, finished: Sequence[Settlement]) -> None:
        """Writes these results, now or in a thread. Raises ``Unavailable`` for these or earlier ones.

        Results that a caller waits for are written before the next batch begins. In a thread beside that batch,
        writing them would take three times as long.
        """
        write = partial(self._write, prepared.claim.token, finished)
        if any(prepared.claim.shards[done.shard_id].is_interactive for done in finished):
            write()
        else:
            self._in_background(prepared, write)

    def finish(self, prepared: PreparedClaim) -> None:
        """Settles the finished shards of a claim and gives back the others. Its lease is renewed until then."""
        finished = prepared.work.take_finished()

        def last() -> None:
            try:
                self._write(prepared.claim.token, finished)
            finally:
                give_back(prepared)

        self._in_background(prepared, last)

    def _write(self, token: UUID, finished: Sequence[Settlement]) -> None:
        for done in settlement.write(token, finished):
            self._presence.settled(len(done.results), done.used_input + done.used_output)

    def _in_background(self, prepared: PreparedClaim, write: Callable[[], None]) -> None:
        if not self._works_beside(prepared) and not self._unsettled:
            with prepared.current():
                write()
            return

        def beside() -> None:
            with prepared.current():
                write()

        # Submit before waiting for earlier ones, which may raise: a claim's last settlement must run to end its lease.
        self._unsettled.append(self._threads[1].submit(beside))
        while len(self._unsettled) > _MAX_UNSETTLED:
            self._unsettled.popleft().result()

    def _wait_for_settlements(self) -> None:
        """Waits until all settlements under way are written."""
        while self._unsettled:
            self._unsettled.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_needed.set()
        with ExitStack() as ending:  # runs every callback even if others raise, because leases must end
            for threads in self._threads:
                ending.callback(threads.shutdown)
            ending.callback(self._give_back_unused)
            self._wait_for_settlements()

    def _give_back_unused(self) -> None:
        with ExitStack() as ending:
            for looking in (self._ahead, self._urgent):
                if looking is not None:
                    ending.callback(_give_back, looking)


def _give_back(looking: Future[PreparedClaim | None]) -> None:
    with suppress(Unavailable):
        unused = looking.result()
        if unused is not None:
            give_back(unused)


class SettlementSchedule:
    """Decides when the finished shards of a running claim are settled."""

    def __init__(self, prepared: PreparedClaim, pipeline: Pipeline) -> None:
        self._prepared, self._pipeline = prepared, pipeline
        self._settled_at = time.monotonic()

    def settle(self, *, immediately: bool) -> None:
        """Settles all finished shards, ``immediately`` or once the last settlement is long enough ago."""
        is_early = time.monotonic() - self._settled_at <= _SETTLE_SECONDS or self._pipeline.must_wait_to_settle
        if is_early and not immediately:
            return
        if finished := self._prepared.work.take_finished():
            self._pipeline.settle(self._prepared, finished)
        self._settled_at = time.monotonic()
