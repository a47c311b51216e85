"""One Celery task per item."""

from uuid import UUID

from celery import Celery

from benchmarks.queue.baseline import configuration, inference, store


def task_per_item(job_id: str, index: int) -> None:
    key = (UUID(job_id), index)
    connection = inference.connection()
    ((_, line),) = inference.lines([key], [store.text(connection, key)])
    store.settle_one(connection, key, line)


def register(app: Celery) -> None:
    app.task(name=configuration.ONE)(task_per_item)
