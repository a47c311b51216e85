"""Sets up the logs of a process, those of its libraries included."""

import logging
import sys
import threading
import warnings
from pathlib import PurePath
from types import TracebackType
from typing import TextIO

from lengthwise.logs.form import ConsoleFormatter, JsonFormatter
from lengthwise.logs.raised import raised

log = logging.getLogger(__name__)

FORMS = {"console": ConsoleFormatter, "json": JsonFormatter}
#: What follows the level of the settings. A library below WARNING tells of requests, statements and headers, and with
#: them of what customers sent, so no setting makes one do that.
_OURS = ("lengthwise", "api", "worker")
#: Libraries whose INFO tells of starts and ends.
_TELLING = ("celery", "uvicorn")
#: Of these, INFO has a line for each bell. DEBUG would have more.
_NOISY = ("celery.app.trace", "celery.worker.strategy")
#: Warnings of these packages are about models, devices and the process, so their words are shown. Of others, only the
#: place is.
_WARNING = frozenset({"celery", "ctranslate2", "torch", "transformers"})
_MAX_CHARACTERS = 300


def set_up(role: str, worker: str, *, form: str, level: str) -> None:
    """Makes everything that this process logs go to standard error, in one form of ``FORMS``.

    ``role`` is what the process does, and ``worker`` is its name. A second call replaces the first. From here on,
    warnings and errors that nobody caught are log lines as well.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMS[form](role, worker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # It writes the lines of loggers that neither have a handler nor pass them on, such as that of Celery's processes.
    logging.lastResort = handler
    wanted = logging.getLevelNamesMapping()[level]
    root.setLevel(max(wanted, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(wanted)
    for name in _TELLING:
        logging.getLogger(name).setLevel(max(wanted, logging.INFO))
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(wanted, logging.WARNING))
    # Otherwise a handler that fails prints the record with its arguments.
    logging.raiseExceptions = False
    _catch_what_nobody_caught()


def _catch_what_nobody_caught() -> None:
    # Celery captures warnings too; it does nothing if this was done before.
    logging.captureWarnings(True)
    warnings.showwarning = _warned
    threading.excepthook = _thread_ended
    sys.excepthook = _process_ended
    sys.unraisablehook = _not_raised


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - the signature is that of ``warnings``
    line: str | None = None,  # noqa: ARG001
) -> None:
    parts = PurePath(filename).parts
    package = parts[parts.index("site-packages") + 1] if "site-packages" in parts[:-1] else ""
    said = f": {' '.join(str(message).split())[:_MAX_CHARACTERS]}" if package in _WARNING else ""
    logging.getLogger("py.warnings").warning("%s%s, %s:%d", category.__name__, said, "/".join(parts[-2:]), lineno)


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = ended.thread.name if ended.thread else "unknown"
        log.error("the thread %s ended with an error", name, extra=raised(ended.exc_value))


def _process_ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("the process ends with an error", extra=raised(error))


def _not_raised(found: "sys.UnraisableHookArgs") -> None:
    if found.exc_value is not None:
        log.error("an error was raised where none can be caught", extra=raised(found.exc_value))
