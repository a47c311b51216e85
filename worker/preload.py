"""Loads models when a generation worker's process starts, so that its first job does not wait for them."""

import logging
from typing import Any

from celery.signals import worker_process_init

from lengthwise import settings
from lengthwise.program import MODELS_LOADED
from worker import loaded

log = logging.getLogger(__name__)


def preload(**_: Any) -> None:
    """The first models of the catalog, as many as one process keeps; one that fails is left to its jobs."""
    for name in loaded.names()[: settings.get().loaded_models]:
        try:
            loaded.model(name)
        except loaded.NotLoaded:
            log.warning("going on without %s", name)
    log.info(MODELS_LOADED)


# Only a prefork pool has such processes: a worker for deliveries, on threads, never loads a model.
worker_process_init.connect(preload)
