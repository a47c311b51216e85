"""What may be told of an error: its class, and a message of our own. An error of a library may hold anything."""

import re

from lengthwise.errors import LengthwiseError, ModelUnusable
from worker.engine.protocol import EngineError

#: Characters of a message.
_MOST_CHARACTERS = 500
#: The folders of an absolute path. No two of its parts can match the same characters, so it takes linear time.
_FOLDERS = re.compile(r"(?<![\w.:/])(?:/[^\s/'\"]+)+/")


def told(error: BaseException) -> str:
    """The class, and our own message if it has one."""
    name, message = type(error).__name__, _message(error)
    return f"{name}: {message}" if message else name


def reason(error: BaseException) -> str:
    """The same for a sentence about what did not happen."""
    return _message(error) or f"unexpected {type(error).__name__}"


def _message(error: BaseException) -> str:
    """Our own message; empty if there is none. Callers may see it, so it names no folder of this machine."""
    if not isinstance(error, (LengthwiseError, EngineError)):
        return ""
    message = error.reason if isinstance(error, ModelUnusable) else str(error)
    return _FOLDERS.sub("", message[:_MOST_CHARACTERS])
