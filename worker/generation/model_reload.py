"""Reloads models when ``models.toml`` changes: between two claims, or from a thread while no task runs.

If the process may hold two models, the new revision is loaded while the old one is still in memory.
"""

import logging
import math
import time
from threading import Lock, Thread

from lengthwise import logs, settings
from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import Catalog, ModelSpec
from worker.generation.models import LoadedModels
from worker.generation.process_tuning import reduce_garbage_collection
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

#: The pause before a revision that could not be loaded is tried again. Loading may read gigabytes.
_RETRY_SECONDS = 60.0


class ModelReload:
    def __init__(self, models: LoadedModels, shutdown: Shutdown) -> None:
        self._models, self._shutdown = models, shutdown
        #: Held while models compute or load: by a task for its slice of time, or by the thread of this object.
        self.engines = Lock()
        self._seen: Catalog | None = None
        #: When a revision that failed to load is tried again, by the monotonic clock.
        self.retry_at = math.inf

    def is_due(self) -> bool:
        """Whether ``models.toml`` has changed since the last ``run``, or a failed load is to be repeated. Cheap."""
        return self._models.catalog() is not self._seen or time.monotonic() >= self.retry_at

    def run(self) -> None:
        """Replaces the loaded models whose spec has changed, and drops those that ``models.toml`` no longer names.

        The caller holds ``engines`` and runs no claim. If a new revision cannot be loaded, the old one stays.
        """
        catalog = self._models.catalog()
        has_failed = False
        for name, old in self._models.held().items():
            new = catalog.models.get(name)
            if not self._models.is_loaded(name):  # it was unloaded while another one was replaced
                continue
            if new is None:
                log.info("model %s dropped: models.toml no longer names it", name)
                self._models.drop(name)
            elif _is_same(old, new):
                self._models.mended(name)
            else:
                has_failed |= not self._replace(old, new)
        self._models.forget_failures()
        self._seen = catalog
        self.retry_at = time.monotonic() + _RETRY_SECONDS if has_failed else math.inf

    def _replace(self, old: ModelSpec, new: ModelSpec) -> bool:
        is_alone = settings.get().loaded_models == 1
        if is_alone:
            self._models.drop(old.name)
        if self._models.load(new):
            reduce_garbage_collection()  # frees the old one's memory
            log.info("model %s: revision %s took the place of %s", old.name, new.made_by, old.made_by)
            return True
        log.error("model %s: revision %s goes on", old.name, old.made_by)
        if is_alone:
            self._models.load(old)
        return False

    def start(self) -> None:
        """Starts a thread that reloads models while the worker is idle, so that it is up to date when work comes."""
        Thread(target=self._look, name="model-reload", daemon=True).start()

    def _look(self) -> None:
        while not self._shutdown.is_begun:
            time.sleep(settings.get().models_seconds)
            if not self.engines.acquire(blocking=False):
                continue
            try:
                if self.is_due():
                    self.run()
            except ConfigurationError as error:  # said at the start; there is no earlier version either
                log.debug("models.toml is still not valid: %s", error)
            except Exception as error:  # the loaded models still work
                log.error("models were not reloaded: unexpected %s", type(error).__name__, extra=logs.raised(error))
            finally:
                self.engines.release()


def _is_same(old: ModelSpec, new: ModelSpec) -> bool:
    """Compares the folders too: a hub's branch keeps its name when it moves to another revision."""
    try:
        return old == new and old.folder == new.folder
    except ConfigurationError:
        return False
