"""Renews a claim's lease from a thread while the engine computes, and notices which shards it no longer holds."""

import logging
import time
from collections.abc import Callable, Iterable
from threading import Event, Lock, Thread
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database, logs, settings
from lengthwise.errors import Unavailable
from lengthwise.ledger.queue import lease
from worker.generation.distance import Distance
from worker.generation.watchdog import Watchdog
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

#: Before a batch the lease is checked again if the last check is older than this. A cancellation is noticed this late.
_CHECK_SECONDS = 0.05
_POLL_SECONDS = 0.2


class Lease:
    """Renews ``token`` every ``heartbeat_seconds`` from ``start`` to ``stop``.

    It renews nothing while the engine's thread hangs. The watchdog kills such a process, but its parent may be gone.

    If the worker shuts down and its grace is over, the thread gives back all shards of the token. The running batch
    then fails its fence, and another worker runs those shards.

    ``then`` is called once it has stopped.
    """

    def __init__(
        self,
        token: UUID,
        shard_ids: Iterable[int],
        watchdog: Watchdog,
        shutdown: Shutdown,
        distance: Distance,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        self.token, self._watchdog, self._shutdown, self._distance = token, watchdog, shutdown, distance
        self._then = then
        self._held = set(shard_ids)
        self._checked_at = self._renewed_at = time.monotonic()
        self._lock = Lock()
        self._over = False
        #: Set to wake the thread: the lease is over, or is to be checked.
        self._wake_up = Event()
        self._is_to_check = False
        self._thread = Thread(target=logs.carried(self._beat), name="heartbeat", daemon=True)

    def holds(self, shard_id: int) -> bool:
        """Whether the shard is held, as far as is known. It may be cancelled, expired or claimed by another worker."""
        return shard_id in self._held

    def add(self, shard_ids: Iterable[int]) -> None:
        """Adds shards that were claimed later under the same token."""
        with self._lock:
            self._held |= set(shard_ids)

    def check(self) -> None:
        """Asks the database which shards are still held, unless it did so just now.

        If the database is away, nothing changes. If it is far, the thread asks, and ``holds`` knows the answer later.
        """
        if time.monotonic() - self._checked_at < _CHECK_SECONDS:
            return
        if self._distance.is_far:
            self._is_to_check = True
            self._wake_up.set()
        else:
            self._check()

    def _check(self) -> None:
        with self._distance.asking():
            self._ask(lambda connection, held: lease.find_held(connection, self.token, held))

    def _beat(self) -> None:
        current = settings.get()
        while True:
            self._wake_up.wait(min(_POLL_SECONDS, current.heartbeat_seconds))
            self._wake_up.clear()
            if self._over:
                return
            if self._is_to_check:
                self._is_to_check = False
                self._check()
            if self._shutdown.seconds > current.grace_seconds:
                self._give_back()
                return
            is_due = time.monotonic() - self._renewed_at >= current.heartbeat_seconds
            if is_due and self._watchdog.stalled(current.hang_seconds) is None:
                self._renewed_at = time.monotonic()
                self._ask(
                    lambda connection, held: lease.heartbeat(
                        connection, self.token, held, lease_seconds=current.lease_seconds
                    )
                )

    def _ask(self, question: Callable[[Connection, set[int]], set[int]]) -> None:
        try:
            with self._lock, database.translated(), database.engine().asking() as connection:
                self._held = question(connection, self._held)
            self._checked_at = time.monotonic()
        except Unavailable as error:
            log.warning("the lease was neither checked nor renewed: %s", error)

    def _give_back(self) -> None:
        log.warning("the worker's grace is over: giving back its %d shards", len(self._held))

        def release(connection: Connection, held: set[int]) -> set[int]:
            lease.release(connection, self.token, held)
            return set()

        self._ask(release)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the renewals. A second call does nothing."""
        self._over = True
        self._wake_up.set()
        self._thread.join()
        self._then()
