"""Reloads ``models.toml`` when it changes. The last valid version stays in force.

Knows nothing of what the models are used for, nor of what is loaded.
"""

import filecmp
import logging
import time
from pathlib import Path
from threading import Lock

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.usable import unusable

log = logging.getLogger(__name__)

_TOKENIZER = "tokenizer.json"
#: Why a model that ran before may be unusable now: items that were counted for it may wait.
_DAMAGED = frozenset(
    {"tokenizer_missing", "tokenizer_unreadable", "config_unreadable", "weights_missing", "template_missing"}
)


class CatalogFile:
    """The catalog in force. Many threads may use it: one of them checks the file, and the others do not wait for it."""

    def __init__(self, path: Path, look_seconds: float) -> None:
        """Reads the file. Raises ``ConfigurationError`` if it is not valid, since there is no earlier version yet."""
        self._path, self._look_seconds = path, look_seconds
        self._looking = Lock()
        self._seen = _stamp(path)
        self._catalog = Catalog.read(path)
        self._error: ConfigurationError | None = None
        self._look_at = time.monotonic() + look_seconds

    @property
    def is_current(self) -> bool:
        """Whether the catalog in force is what the file held when it was last checked."""
        return self._error is None

    def catalog(self) -> Catalog:
        """The catalog in force. It is the same object as long as the file does not change."""
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=False):
            try:
                # An error may go away without a change of the file: a model's folder may still be being copied.
                if _stamp(self._path) != self._seen or self._error is not None:
                    self._read()
                self._look_at = time.monotonic() + self._look_seconds
            finally:
                self._looking.release()
        return self._catalog

    def look(self) -> bool:
        """Reads the file now, changed or not. If it is not valid, returns False, and the last valid version stays."""
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
                log.error("models.toml is not valid, so the models stay as they were: %s", error)
            self._error = error
        else:
            log.info("reloaded the models from %s", self._path)
            self._catalog, self._error = found, None


def _check_succession(old: ModelSpec, new: ModelSpec) -> None:
    """Checks that ``new`` can run the items that wait, whose tokens were counted for ``old``.

    Raises ``ConfigurationError`` if its tokenizer differs.
    """
    found = unusable(old)
    if found is not None and found.code not in _DAMAGED:  # the old revision never ran here
        return
    before = old.folder
    if new.folder == before:
        return
    try:
        is_same = filecmp.cmp(before / _TOKENIZER, new.folder / _TOKENIZER, shallow=False)
    except OSError as error:
        message = f"the {_TOKENIZER} of its two revisions cannot be compared ({type(error).__name__})"
        raise ConfigurationError(f"model {new.name}: {message}") from None
    if not is_same:
        raise ConfigurationError(
            f"model {new.name}: a revision with another {_TOKENIZER} is another model, so rename it"
        )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """A value that changes when the file does; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
