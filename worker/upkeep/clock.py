"""Sweeps every second from a thread of each delivery worker. It needs no broker, which may be away."""

import logging
import time
from threading import Thread

from lengthwise import settings
from worker.shutdown import Shutdown
from worker.upkeep.sweep import Sweeper

log = logging.getLogger(__name__)


class Clock:
    def __init__(self, sweeper: Sweeper, shutdown: Shutdown) -> None:
        self._sweeper, self._shutdown = sweeper, shutdown

    def start(self) -> None:
        """Begins in a thread, which ends when the worker shuts down."""
        Thread(target=self._tick, name="clock", daemon=True).start()

    def _tick(self) -> None:
        while not self._shutdown.is_begun:
            try:
                self._sweeper.sweep()
            except Exception as error:  # whatever it was, the next sweep is due in a second
                log.error("not swept: unexpected %s", type(error).__name__)
            time.sleep(settings.get().sweep_seconds)
