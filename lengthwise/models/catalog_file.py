"""``models.toml`` while people edit it: looked at again and again, and the last valid one is in force.

Knows nothing of what the models are used for, nor of what is loaded.
"""

import filecmp
import logging
import time
from pathlib import Path
from threading import Lock

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import Catalog, ModelSpec

log = logging.getLogger(__name__)

_TOKENIZER = "tokenizer.json"


class CatalogFile:
    """The catalog in force. For many threads at once: one of them looks, the others go on with what there is."""

    def __init__(self, path: Path, look_seconds: float) -> None:
        """Reads the file. Raises ``ConfigurationError`` where it is not valid: nothing is in force yet."""
        self._path, self._look_seconds = path, look_seconds
        self._looking = Lock()
        self._seen = _stamp(path)
        self._catalog = Catalog.read(path)
        self._error: ConfigurationError | None = None
        self._look_at = time.monotonic() + look_seconds

    @property
    def is_current(self) -> bool:
        """Whether what is in force is what the file said when it was last looked at."""
        return self._error is None

    def catalog(self) -> Catalog:
        """The catalog in force; the same object for as long as the file says the same."""
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=False):
            try:
                # What is wrong may be mended outside the file: a folder that was still being copied.
                if _stamp(self._path) != self._seen or self._error is not None:
                    self._read()
                self._look_at = time.monotonic() + self._look_seconds
            finally:
                self._looking.release()
        return self._catalog

    def look(self) -> bool:
        """Reads the file now, changed or not; False if it is not valid, and the last valid one stays in force."""
        with self._looking:
            self._read()
        return self.is_current

    def _read(self) -> None:
        self._seen = _stamp(self._path)
        try:
            found = Catalog.read(self._path)
            for name, spec in found.models.items():
                if name in self._catalog.models:
                    _check_succession(self._catalog.models[name], spec)
        except ConfigurationError as error:
            if str(error) != str(self._error):
                log.error("the models stay as they were: %s", error)
            self._error = error
        else:
            log.info("the models are those of %s as it is now", self._path)
            self._catalog, self._error = found, None


def _check_succession(old: ModelSpec, new: ModelSpec) -> None:
    """Items wait whose tokens were counted for ``old``. Raises ``ConfigurationError`` if ``new`` cannot run them."""
    try:
        before = old.folder
    except ConfigurationError:  # it never ran here
        return
    if new.folder == before:
        return
    try:
        is_same = filecmp.cmp(before / _TOKENIZER, new.folder / _TOKENIZER, shallow=False)
    except OSError as error:
        message = f"the {_TOKENIZER} of its two revisions cannot be compared ({type(error).__name__})"
        raise ConfigurationError(f"model {new.name}: {message}") from None
    if not is_same:
        raise ConfigurationError(f"model {new.name}: a revision with another {_TOKENIZER} is another model: rename it")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes with the file; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
