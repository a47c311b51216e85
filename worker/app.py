"""The Celery app as its users start it: ``celery -A worker.app worker -Q generate -c 1``."""

from lengthwise import database, queue
from worker.delivery import deliver
from worker.generation import generate, preload
from worker.upkeep import clock

__all__ = ["app", "clock", "preload"]

app = queue.app()
database.ring_with(queue.ring_bell)

app.task(name=queue.GENERATE)(generate.generate)
app.task(name=queue.DELIVER)(deliver.deliver)
