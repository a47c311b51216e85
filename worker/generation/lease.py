"""Keeps a claim's lease alive from a thread of its own while the engine computes, and knows what was taken away."""

import logging
import time
from collections.abc import Callable, Iterable
from threading import Event, Lock, Thread
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database, settings
from lengthwise.errors import Unavailable
from lengthwise.ledger.queue import lease
from worker import shutdown

log = logging.getLogger(__name__)

#: How old what this worker knows of its shards may be when a batch begins: a cancellation is seen that late.
_CHECK_SECONDS = 0.05
_POLL_SECONDS = 0.2


class Lease:
    """Renews ``token`` every ``heartbeat_seconds`` from ``start`` to ``stop``.

    When a stopping worker's grace is over, its thread gives all back that the token holds: the batch in hand will find
    its fence gone, and another worker runs it.
    """

    def __init__(self, token: UUID, shard_ids: Iterable[int]) -> None:
        self.token = token
        self._held = set(shard_ids)
        self._known_at = self._renewed_at = time.monotonic()
        self._lock = Lock()
        self._over = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def holds(self, shard_id: int) -> bool:
        """False once the shard was found cancelled, expired or in another's hands: its work is in vain."""
        return shard_id in self._held

    def add(self, shard_ids: Iterable[int]) -> None:
        """What the token holds besides from now on."""
        with self._lock:
            self._held |= set(shard_ids)

    def check(self) -> None:
        """Looks what is still held, unless that was looked at just now; a database that is away says nothing."""
        if time.monotonic() - self._known_at >= _CHECK_SECONDS:
            self._ask(lambda connection, held: lease.held(connection, self.token, held))

    def _beat(self) -> None:
        current = settings.get()
        while not self._over.wait(min(_POLL_SECONDS, current.heartbeat_seconds)):
            if shutdown.seconds() > current.grace_seconds:
                self._give_back()
                return
            if time.monotonic() - self._renewed_at >= current.heartbeat_seconds:
                self._renewed_at = time.monotonic()
                self._ask(
                    lambda connection, held: lease.heartbeat(
                        connection, self.token, held, lease_seconds=current.lease_seconds
                    )
                )

    def _ask(self, question: Callable[[Connection, set[int]], set[int]]) -> None:
        try:
            with self._lock, database.translated(), database.engine().begin() as connection:
                self._held = question(connection, self._held)
            self._known_at = time.monotonic()
        except Unavailable as error:
            log.warning("lease not asked about: %s", error)

    def _give_back(self) -> None:
        log.warning("the grace is over: giving back what is in hand")

        def release(connection: Connection, held: set[int]) -> set[int]:
            lease.release(connection, self.token, held)
            return set()

        self._ask(release)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the renewals. Does nothing a second time."""
        self._over.set()
        self._thread.join()
