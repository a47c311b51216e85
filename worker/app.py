"""The Celery app as its users start it: ``celery -A worker.app worker -Q generate -c 1``."""

from lengthwise import queue
from worker import clock, deliver, generate, preload

__all__ = ["app", "clock", "preload"]

app = queue.app()

app.task(name=queue.GENERATE)(generate.generate)
app.task(name=queue.DELIVER)(deliver.deliver)
