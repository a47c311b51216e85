"""One Celery message per item; celery-batches runs the messages together."""

from uuid import UUID

from celery import Celery
from celery_batches import Batches, SimpleRequest

from benchmarks.queue.baseline import configuration, inference, store


def batches(requests: list[SimpleRequest]) -> None:
    connection = inference.connection()
    keys = [(UUID(request.args[0]), request.args[1]) for request in requests]
    found = store.texts(connection, keys)
    store.settle_many(connection, inference.lines(keys, [found[key] for key in keys]))


def register(app: Celery) -> None:
    app.task(
        name=configuration.BATCHES,
        base=Batches,
        flush_every=configuration.FLUSH_ITEMS,
        flush_interval=configuration.FLUSH_SECONDS,
    )(batches)
