"""The Celery app. Start a worker with ``celery -A worker.app worker -Q generate -c 1``."""

import os
from typing import Any

from celery import signals

from lengthwise import database, queue
from worker.process import Worker
from worker.shutdown import end_with_parent

__all__ = ["app", "worker"]

app = queue.app()
database.ring_with(queue.ring_bell)
worker = Worker()
_parent = os.getpid()


@app.task(name=queue.GENERATE)  # type: ignore[untyped-decorator]
def generate(pool: str) -> None:
    worker.generate(pool)


@app.task(name=queue.DELIVER)  # type: ignore[untyped-decorator]
def deliver() -> None:
    worker.deliver()


def _is_named(sender: str, **_: Any) -> None:
    worker.is_named(sender.partition("@")[0])


def _is_ready(sender: Any, **_: Any) -> None:
    worker.watchdog.start()
    if queue.DELIVER in {consumed.name for consumed in sender.task_consumer.queues}:
        worker.begin_delivery()


def _is_forked(**_: Any) -> None:
    # Only a prefork pool forks, which is a generation worker's. A delivery worker runs in threads and loads no model.
    end_with_parent(_parent)
    worker.begin_generation()


def _is_stopping(**_: Any) -> None:
    worker.shutdown.begin()


def _has_ended(**_: Any) -> None:
    worker.end()


signals.celeryd_init.connect(_is_named)
signals.worker_ready.connect(_is_ready)
signals.worker_process_init.connect(_is_forked)
signals.worker_shutting_down.connect(_is_stopping)
signals.worker_process_shutdown.connect(_has_ended)
signals.worker_shutdown.connect(_has_ended)
