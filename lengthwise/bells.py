"""Bells that a transaction rings once it has committed. The ledger notes them; ``lengthwise.database`` rings them.

Nothing here knows the broker. A transaction that is rolled back rings nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection

#: Bells and tasks share their names: the file, the function and the Celery name are one word.
GENERATE = "generate"
DELIVER = "deliver"

#: The execution option under which a connection keeps the bells that its transaction noted.
_OPTION = "lengthwise_bells"


class Bell(NamedTuple):
    """One task to wake, ``times`` times: up to so many workers can begin at once."""

    task: str
    arguments: tuple[str, ...] = ()
    times: int = 1


Ring = Callable[[Bell], object]


class NotedBells:
    """The bells of one transaction. A bell that is noted again is rung as often as its largest ``times`` says."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, tuple[str, ...]], int] = {}

    def attach(self, connection: Connection) -> None:
        """From here on ``note`` finds these bells on the connection."""
        connection.execution_options(**{_OPTION: self})

    def add(self, bell: Bell) -> None:
        key = bell.task, bell.arguments
        self._times[key] = max(bell.times, self._times.get(key, 0))

    def all(self) -> list[Bell]:
        """In the order in which they were first noted."""
        return [Bell(task, arguments, times) for (task, arguments), times in self._times.items()]


def note(connection: Connection, task: str, *arguments: str, times: int = 1) -> None:
    """Has the connection's transaction ring once it has committed.

    Raises ``LookupError`` unless ``Database.begin`` began the transaction: otherwise its bells would never ring.
    """
    _of(connection).add(Bell(task, arguments, times))


def noted(connection: Connection) -> list[Bell]:
    """What the transaction has noted so far. Raises ``LookupError`` as ``note`` does."""
    return _of(connection).all()


def _of(connection: Connection) -> NotedBells:
    found = connection.get_execution_options().get(_OPTION)
    if not isinstance(found, NotedBells):
        raise LookupError("this connection rings no bells: begin the transaction with Database.begin")
    return found
