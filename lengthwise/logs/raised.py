"""An error as a log may show it: its class, and where it was raised.

A message is shown only if it is ours, because ours never hold what was sent. Those of libraries may: a database names
the values of a key, and a parser quotes what it could not read. No local value is ever shown.
"""

from collections.abc import Iterator
from pathlib import PurePath
from traceback import walk_tb
from types import FrameType, TracebackType
from typing import Any

from lengthwise.logs import context

#: The packages whose own words hold no text of a customer.
_OURS = frozenset({"lengthwise", "api", "worker"})
#: So many errors of a chain are shown, and so many frames of each: the innermost ones.
_MAX_ERRORS = 5
_MAX_FRAMES = 20


def is_ours(module: str) -> bool:
    """Whether a module, or the logger of that name, belongs to this system."""
    return module.partition(".")[0] in _OURS


def raised(error: BaseException, *, with_messages: bool = False) -> dict[str, Any]:
    """The argument ``extra`` of a log call about this error.

    ``with_messages`` shows the messages of libraries too: only for what happens before any text of a customer is at
    hand, such as loading a model.
    """
    return {"raised": described(error, with_messages=with_messages), "raised_in": context.taken_along(error)}


def described(
    error: BaseException, trace: TracebackType | None = None, *, with_messages: bool = False
) -> list[dict[str, Any]]:
    """The error and those that led to it, the last one first: ``class``, ``message`` if it may be shown, ``frames``.

    ``trace`` is where it was raised, if the error itself does not know. Errors hidden by ``from None`` are included:
    their messages were to be hidden, and they are.
    """
    return [
        {
            "class": _class_name(type(each)),
            **({"message": str(each)} if with_messages or is_ours(type(each).__module__) else {}),
            "frames": _frames(each.__traceback__ or (trace if each is error else None)),
        }
        for each in _chain(error)
    ]


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen and len(seen) < _MAX_ERRORS:
        seen.add(id(found))
        yield found
        first = found.exceptions[0] if isinstance(found, BaseExceptionGroup) else None
        found = first or found.__cause__ or found.__context__


def _class_name(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" or is_ours(module) else f"{module}.{kind.__qualname__}"


def _frames(trace: TracebackType | None) -> list[str]:
    """``file:line function`` from the outermost to the innermost. Files are named from their package on."""
    return [f"{_file(frame)}:{line} {frame.f_code.co_name}" for frame, line in walk_tb(trace)][-_MAX_FRAMES:]


def _file(frame: FrameType) -> str:
    path = PurePath(frame.f_code.co_filename)
    depth = str(frame.f_globals.get("__name__", "")).count(".") + 1 + (path.name == "__init__.py")
    return "/".join(path.parts[-depth:])
