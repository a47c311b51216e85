"""The two forms of a log line: a JSON object for machines, and a line for people."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lengthwise.logs import context, message
from lengthwise.logs.raised import described


class LineFormatter(logging.Formatter):
    """What both forms have in common. ``role`` and ``worker`` are those of the process."""

    def __init__(self, role: str, worker: str) -> None:
        super().__init__()
        self.role, self.worker = role, worker

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Nothing: it would hold the message. ``errors`` has what may be shown."""
        return ""

    def errors(self, record: logging.LogRecord) -> list[dict[str, Any]]:
        """The errors that the line tells of."""
        if found := getattr(record, "raised", None):
            return list(found)
        _, error, trace = record.exc_info or (None, None, None)
        return described(error, trace) if error is not None else []

    def ids(self, record: logging.LogRecord) -> dict[str, Any]:
        """The ids that are bound here or were where the error was raised, and the fields of this line alone."""
        error = record.exc_info[1] if record.exc_info else None
        along = getattr(record, "raised_in", None) or (context.taken_along(error) if error else {})
        found: Mapping[str, object] = {**along, **context.current(), **getattr(record, "fields", {})}
        return {name: _plain(value) for name, value in found.items() if value is not None}


class JsonFormatter(LineFormatter):
    """One JSON object a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": message.of(record),
            "role": self.role,
            "worker": self.worker,
            "pid": record.process,
            **self.ids(record),
        }
        if errors := self.errors(record):
            line["errors"] = errors
        return json.dumps(line, default=str)


class ConsoleFormatter(LineFormatter):
    """One line for people, and below it the frames of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, and further lines that are indented."""
        ids = "".join(f" {name}={_short(value)}" for name, value in self.ids(record).items())
        said = message.of(record).replace("\n", "\n  ")
        first = f"{_time(record)} {record.levelname} {record.name} [{self.worker} {record.process}] {said}{ids}"
        return "\n".join([first, *(line for error in self.errors(record) for line in _lines(error))])


def _lines(error: Mapping[str, Any]) -> list[str]:
    said = f": {error['message']}" if "message" in error else ""
    return [f"  {error['class']}{said}", *(f"    {frame}" for frame in error["frames"])]


def _plain(value: object) -> Any:
    """The value as JSON has it: ids as texts, floats to six places."""
    match value:
        case float():
            return round(value, 6)
        case bool() | int() | str():
            return value
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return str(value)


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _time(record: logging.LogRecord) -> str:
    """RFC 3339, in UTC."""
    stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")
