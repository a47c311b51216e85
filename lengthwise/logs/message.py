"""The words of a log line. A library's are shown only if they are known to be about the installation."""

import logging
import re

from lengthwise.logs.raised import is_ours

#: Libraries whose lines are about servers, processes and models. Of each line, the beginning is shown.
_TOLD = frozenset({"celery", "kombu", "multiprocessing", "opentelemetry", "torch", "transformers", "uvicorn"})
_MAX_CHARACTERS = 300
_PLACEHOLDER = re.compile(r"%(\(\w{1,40}\))?[drs]")
#: Of a task that failed, Celery's line holds the error's message.
_TASKS = "celery.app.trace"


def of(record: logging.LogRecord) -> str:
    """What the line says. Raises nothing, whatever the record holds."""
    try:
        return record.getMessage() if is_ours(record.name) or record.name == "py.warnings" else _of_library(record)
    except Exception:  # a log line must not end what it tells about
        return f"a line that could not be written, {_place(record)}"


def _of_library(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] not in _TOLD:
        return f"a line that is not shown, because it may hold a text, {_place(record)}"
    if record.name == _TASKS:
        told = record.args if isinstance(record.args, dict) else {}
        return f"task {told.get('name', '')} {told.get('description', 'was run')}"
    # With an error, the arguments may hold its message.
    said = _PLACEHOLDER.sub("…", str(record.msg)) if record.exc_info else record.getMessage()
    return said.strip().partition("\n")[0][:_MAX_CHARACTERS]


def _place(record: logging.LogRecord) -> str:
    return f"{record.filename}:{record.lineno} {record.funcName}"
