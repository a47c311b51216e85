"""Errors of the disk, as one line that says what mends it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lengthwise.errors import ConfigurationError
from lengthwise.models.published.naming import said
from worker.importing.explained import FULL


@contextmanager
def explained() -> Iterator[None]:
    """Raises ``ConfigurationError`` for a file that cannot be read or written. Also decorates a function."""
    try:
        yield
    except OSError as error:
        what = said(error.filename) if error.filename else "a file"
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        remedy = "correct its rights, or name another folder"
        if error.errno in FULL:
            remedy = "free some of its disk, or let --folder (for the model) or TMPDIR (while it is made) name another"
        raise ConfigurationError(f"{what} cannot be read or written ({why}): {remedy}") from None
