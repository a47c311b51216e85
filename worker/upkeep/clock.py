"""Sweeps every second, from a thread of each delivery worker: no broker is needed, which may be what is away."""

import logging
import time
from threading import Thread
from typing import Any

from celery.signals import worker_ready

from lengthwise import queue, settings
from worker import shutdown
from worker.upkeep.sweep import sweep

log = logging.getLogger(__name__)


def start(sender: Any, **_: Any) -> None:
    """Begins in a process that hears of deliveries; one that generates has enough to do."""
    if queue.DELIVER in {heard.name for heard in sender.task_consumer.queues}:
        Thread(target=_tick, name="clock", daemon=True).start()


def _tick() -> None:
    while not shutdown.is_stopping():
        try:
            sweep()
        except Exception as error:  # whatever it was, the next sweep is due in a second
            log.error("not swept: unexpected %s", type(error).__name__)
        time.sleep(settings.get().sweep_seconds)


worker_ready.connect(start)
