"""The Celery app. Start a worker with ``celery -A worker.app worker -Q generate -c 1``."""

import os
from typing import Any

from celery import signals
from celery.apps import worker as celery_worker

from lengthwise import database, logs, queue, settings, traces
from worker import readiness
from worker.process import Worker
from worker.shutdown import end_with_parent

__all__ = ["app", "worker"]

app = queue.app()
database.ring_with(queue.ring_bell)
worker = Worker()
_parent = os.getpid()
# Celery would write its own words for people between the lines of the log as it stops.
celery_worker.safe_say = lambda *_: None
#: What this process does, and its name on this host.
_named: tuple[str, str] = (queue.GENERATE, "")


@app.task(name=queue.GENERATE)  # type: ignore[untyped-decorator]
def generate(pool: str) -> None:
    worker.generate(pool)


@app.task(name=queue.DELIVER)  # type: ignore[untyped-decorator]
def deliver() -> None:
    worker.deliver()


def _begins(sender: str, options: dict[str, Any], **_: Any) -> None:
    """Sets up the logs before Celery would. ``sender`` is the worker's name, ``options`` are its command line's."""
    global _named
    _named = (queue.DELIVER if queue.DELIVER in (options.get("queues") or ()) else queue.GENERATE, sender)
    current = settings.get()
    logs.set_up(*_named, form=current.log_format, level=current.log_level)
    worker.is_named(sender.partition("@")[0])


def _keep_logs(**_: Any) -> None:
    """Tells Celery that the logs are set up: without a receiver of this signal it would set up its own."""


def _is_ready(sender: Any, **_: Any) -> None:
    worker.watchdog.start()
    if queue.DELIVER in {consumed.name for consumed in sender.task_consumer.queues}:
        traces.set_up(*_named)
        worker.begin_delivery()
    readiness.takes_tasks()


def _is_forked(**_: Any) -> None:
    # Only a prefork pool forks, which is a generation worker's. A delivery worker runs in threads and loads no model.
    end_with_parent(_parent)
    traces.set_up(*_named)
    worker.begin_generation()


def _has_ended(**_: Any) -> None:
    worker.end()
    traces.shut()


def _is_stopping(**_: Any) -> None:
    worker.shutdown.begin()


signals.celeryd_init.connect(_begins)
signals.setup_logging.connect(_keep_logs)
signals.worker_ready.connect(_is_ready)
signals.worker_process_init.connect(_is_forked)
signals.worker_shutting_down.connect(_is_stopping)
signals.worker_process_shutdown.connect(_has_ended)
signals.worker_shutdown.connect(_has_ended)
