"""Brings what is loaded into line with ``models.toml``: between claims, and from a thread of its own while none runs.

A renewed model is loaded beside the old one where the process may keep two, and takes its place once it is there.
"""

import logging
import math
import time
from threading import Lock, Thread
from typing import Any

from lengthwise import settings
from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import Catalog, ModelSpec
from worker import shutdown
from worker.generation import models
from worker.generation.gc_tuning import collect_seldom

log = logging.getLogger(__name__)

#: A revision that could not be loaded is tried again after this long, or when models.toml changes: it may be gigabytes.
_RETRY_SECONDS = 60.0

#: Held by whoever computes or loads: a slice of work, or this module's thread.
engines = Lock()

_in_line_with: Catalog | None = None
_retry_at = math.inf


def is_due() -> bool:
    """Whether ``models.toml`` says other than when ``renew`` last looked; cheap enough for every claim."""
    return models.catalog() is not _in_line_with or time.monotonic() >= _retry_at


def renew() -> None:
    """Replaces each loaded model that is another by now, and drops those that ``models.toml`` no longer names.

    For whoever holds ``engines``, with nothing in hand. What cannot be loaded leaves the old one where it was.
    """
    global _in_line_with, _retry_at
    catalog = models.catalog()
    has_failed = False
    for name, old in models.held().items():
        new = catalog.models.get(name)
        if not models.is_loaded(name):  # it made room
            continue
        if new is None:
            log.info("model %s is no longer named: dropped", name)
            models.drop(name)
        elif not _is_same(old, new):
            has_failed |= not _replace(old, new)
    _in_line_with = catalog
    _retry_at = time.monotonic() + _RETRY_SECONDS if has_failed else math.inf


def _is_same(old: ModelSpec, new: ModelSpec) -> bool:
    """A hub's branch may lead elsewhere by now, though it is named as before."""
    try:
        return old == new and old.folder == new.folder
    except ConfigurationError:
        return False


def _replace(old: ModelSpec, new: ModelSpec) -> bool:
    is_alone = settings.get().loaded_models == 1
    if is_alone:
        models.drop(old.name)
    if models.load(new):
        collect_seldom()  # the old one's memory
        log.info("model %s: revision %s took the place of %s", old.name, new.made_by, old.made_by)
        return True
    log.error("model %s: revision %s goes on", old.name, old.made_by)
    if is_alone:
        models.load(old)
    return False


def start(**_: Any) -> None:
    """Looks from a thread, so that a worker without work is up to date when some comes."""
    Thread(target=_look, name="renewal", daemon=True).start()


def _look() -> None:
    while not shutdown.is_stopping():
        time.sleep(settings.get().models_seconds)
        if not engines.acquire(blocking=False):
            continue
        try:
            if is_due():
                renew()
        except Exception as error:  # whatever it was, work goes on with what is loaded
            log.error("models not renewed: unexpected %s", type(error).__name__)
        finally:
            engines.release()
