"""The baselines' servers, model and Celery settings."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery

from lengthwise.models.catalog import Catalog, ModelSpec

#: The two tasks. Each has the name of its module.
ONE = "task_per_item"
BATCHES = "batches"

#: Items in one flush of celery-batches, as many as in an engine batch; and the time after which fewer are flushed.
FLUSH_ITEMS = 64
FLUSH_SECONDS = 0.2


def database_url() -> str:
    return os.environ["BASELINE_DATABASE_URL"]


def task_name() -> str:
    return os.environ["BASELINE_TASK"]


@cache
def model() -> ModelSpec:
    return Catalog.read(Path(os.environ["BASELINE_MODELS"])).models["echo"]


def celery_app() -> Celery:
    made = Celery(f"baseline_{task_name()}")
    made.conf.update(_settings())
    return made


def _settings() -> dict[str, Any]:
    # A flush needs at least as many prefetched messages as it has items. A larger prefetch did not help.
    prefetch = 2 * FLUSH_ITEMS if task_name() == BATCHES else 64
    return {
        "broker_url": os.environ["BASELINE_REDIS_URL"],
        "broker_connection_retry_on_startup": True,
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_prefetch_multiplier": int(os.environ.get("BASELINE_PREFETCH", prefetch)),
        "worker_send_task_events": False,
    }
