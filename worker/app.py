"""The Celery app as its users start it: ``celery -A worker.app worker -Q generate -c 1``."""

from lengthwise import queue
from worker import deliver, generate, preload, sweep

__all__ = ["app", "preload"]

app = queue.app()

app.task(name=queue.GENERATE)(generate.generate)
app.task(name=queue.DELIVER)(deliver.deliver)
app.task(name=queue.SWEEP)(sweep.sweep)
