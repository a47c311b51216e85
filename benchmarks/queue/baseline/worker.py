"""The baselines' worker: ``celery -A benchmarks.queue.baseline.worker worker``."""

from importlib import import_module
from typing import Any

from celery.signals import worker_process_init

from benchmarks.queue.baseline import configuration, inference
from lengthwise.models import tokenizer

app = configuration.celery_app()
import_module(f"benchmarks.queue.baseline.{configuration.task_name()}").register(app)


def preload(**_: Any) -> None:
    inference.engine()
    inference.connection()
    tokenizer.load(configuration.model())


worker_process_init.connect(preload)
