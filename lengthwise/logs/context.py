"""What this task or thread works on: the ids that each of its log lines shows."""

from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar, copy_context
from functools import partial
from itertools import islice
from types import MappingProxyType, TracebackType
from typing import TypeVar

#: The attribute of an error that has what was bound where it was raised.
_MARK = "lengthwise_log_ids"
#: So many ids of one kind are named; a claim may have hundreds of shards.
_MAX_NAMED = 8

Answer = TypeVar("Answer")

_current: ContextVar[Mapping[str, object]] = ContextVar("log_context", default=MappingProxyType({}))


def current() -> Mapping[str, object]:
    """The names and ids that are bound here."""
    return _current.get()


class Binding:
    """What ``bound`` returns. A class, because each batch has one, and a generator takes three times as long."""

    __slots__ = ("_ids", "_token")

    def __init__(self, ids: dict[str, object]) -> None:
        self._ids = ids

    def __enter__(self) -> None:
        self._token = _current.set({**_current.get(), **self._ids})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not hasattr(error, _MARK):  # otherwise an inner block knew more
            setattr(error, _MARK, dict(_current.get()))
        _current.reset(self._token)


def bound(**ids: object) -> Binding:
    """Shows these ids in every line that the block logs, besides those that are bound already. None is not shown.

    They are only made into text when a line is written, so that a block that logs nothing costs next to nothing. An
    error that leaves the block takes them along, since the line about it may be written outside.
    """
    return Binding(ids)


def taken_along(error: BaseException) -> Mapping[str, object]:
    """What was bound in the innermost block that this error left."""
    found: Mapping[str, object] = getattr(error, _MARK, {})
    return found


def carried(function: Callable[[], Answer]) -> Callable[[], Answer]:
    """The function for another thread, where it runs with what is bound here. It may be called once at a time."""
    return partial(copy_context().run, function)


def named(name: str, ids: Collection[object]) -> dict[str, object]:
    """Ids to bind: ``job`` for a single one; for several ``jobs``, with the first eight, and ``n_jobs``.

    The names that are not used are unbound, because the work around it may have bound them.
    """
    several, count = f"{name}s", f"n_{name}s"
    if len(ids) == 1:
        return {name: next(iter(ids)), several: None, count: None}
    return {name: None, several: list(islice(ids, _MAX_NAMED)), count: len(ids)}
