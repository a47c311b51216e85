"""Readies a generation worker's process at its start: its models, so that no job waits, and its place among others."""

import logging
import os
import sys
from typing import Any

from celery.signals import worker_process_init

from lengthwise import settings
from lengthwise.local.program import MODELS_LOADED
from worker.generation import model_reload, models
from worker.generation.gc_tuning import collect_seldom

log = logging.getLogger(__name__)

#: How long a thread keeps the interpreter from another that waits for it; the engine lets go of it by itself.
_SWITCH_SECONDS = 0.0005


def preload(**_: Any) -> None:
    """The first models of the catalog, as many as one process keeps; one that fails is left to its jobs."""
    # A batch's texts are too few to share among threads, whose waking costs more than the work; read at each use.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in models.names()[: settings.get().loaded_models]:
        try:
            models.model(name)
        except models.NotLoaded:
            log.warning("going on without %s", name)
    collect_seldom()
    log.info(MODELS_LOADED)


def step_back(**_: Any) -> None:
    """Requests come first, on a core that they share with the engine, and so do the threads that claim and settle."""
    os.nice(settings.get().niceness)
    sys.setswitchinterval(_SWITCH_SECONDS)


# Only a prefork pool has such processes: a worker for deliveries, on threads, never loads a model.
worker_process_init.connect(step_back)
worker_process_init.connect(preload)
worker_process_init.connect(model_reload.start)
