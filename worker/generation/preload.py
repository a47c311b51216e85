"""Prepares the process of a generation worker before its first task: priorities and models."""

import logging
import os
import sys

from lengthwise import settings
from lengthwise.local.program import MODELS_LOADED
from worker.generation.gc_tuning import collect_seldom
from worker.generation.models import LoadedModels, NotLoaded

log = logging.getLogger(__name__)

#: How long a thread keeps the interpreter while another one waits for it. The engine releases it by itself.
_SWITCH_SECONDS = 0.0005


def preload(models: LoadedModels) -> None:
    """Loads the first models of the catalog, as many as a process keeps. One that fails is tried again by its jobs."""
    # A batch has too few texts to share among threads: waking them takes longer than the work. Read at each use.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in models.names()[: settings.get().loaded_models]:
        try:
            models.get(name)
        except NotLoaded:
            log.warning("going on without %s", name)
    collect_seldom()
    log.info(MODELS_LOADED)


def step_back() -> None:
    """Lets HTTP requests go first on a core that they share with the engine, and the claiming and settling threads."""
    os.nice(settings.get().niceness)
    sys.setswitchinterval(_SWITCH_SECONDS)
