"""Keeps a claim's lease alive from a thread of its own while the engine computes, and knows what was taken away."""

import logging
from threading import Event, Thread
from types import TracebackType
from typing import Self
from uuid import UUID

from lengthwise import database
from lengthwise.errors import Unavailable
from lengthwise.ledger.claim import heartbeat

log = logging.getLogger(__name__)


class Lease:
    """A context in which ``token`` is renewed every ``heartbeat_seconds``."""

    def __init__(self, token: UUID, shard_ids: list[int], *, lease_seconds: float, heartbeat_seconds: float) -> None:
        self.token = token
        self._held = set(shard_ids)
        self._lease_seconds = lease_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._over = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def holds(self, shard_id: int) -> bool:
        """False once a heartbeat found the shard cancelled, expired or in another's hands: its work is in vain."""
        return shard_id in self._held

    def _beat(self) -> None:
        while not self._over.wait(self._heartbeat_seconds):
            try:
                with database.translated(), database.engine().begin() as connection:
                    self._held = heartbeat(connection, self.token, self._held, lease_seconds=self._lease_seconds)
            except Unavailable as error:
                log.warning("heartbeat missed: %s", error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
