"""Compiles JSON schemas and checks answers against them in a child process, with limits of time and memory.

A schema is a program of a stranger: even a small one may take for ever to compile, or to check against a small answer.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import inf

from lengthwise.confined import Budget, Confined, ConfinedError, OverBudget
from lengthwise.kinds.openai import schema_child

#: For one schema or one answer. An honest answer takes less than a thousandth of it, a schema of 64 KiB a tenth.
BUDGET = Budget(seconds=0.1, memory_bytes=128 * 2**20)
#: Schemas that are remembered, by their digest alone.
_REMEMBERED = 10_000
#: After so many answers that cost too much, a schema is too costly itself. One answer says little of all others.
_MAX_COSTLY = 3


class TooCostly(ValueError):
    """The schema needs more time or memory than its budget allows."""

    def __init__(self) -> None:
        super().__init__("needs too much time or memory to check")


class AllowanceSpent(ValueError):
    """The schemas of this submission that came before have taken all the time that they may take together."""


class Allowance:
    """The CPU time that the schemas of one submission may take together, in this process and in the children.

    What is known of a schema already costs nothing.
    """

    def __init__(self, seconds: float = inf) -> None:
        self._seconds = self._left = seconds

    def check(self) -> None:
        """Raises ``AllowanceSpent``."""
        if self._left <= 0:
            raise AllowanceSpent(f"needs more time than the schemas of one file may take: {self._seconds:g} s in all")

    def spend(self, seconds: float) -> None:
        self._left -= seconds

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Counts what this thread computes meanwhile."""
        began = time.thread_time()
        try:
            yield
        finally:
            self.spend(time.thread_time() - began)


class _Verdicts:
    """How often a schema was too costly, by its digest. The oldest are forgotten."""

    def __init__(self) -> None:
        self._n_costly: OrderedDict[bytes, int] = OrderedDict()

    def get(self, written: bytes) -> int | None:
        """None if the schema is not known to compile."""
        return self._n_costly.get(_digest(written))

    def add(self, written: bytes, n_costly: int) -> None:
        digest = _digest(written)
        self._n_costly[digest] = self._n_costly.pop(digest, 0) + n_costly
        if len(self._n_costly) > _REMEMBERED:
            self._n_costly.popitem(last=False)


def _digest(written: bytes) -> bytes:
    return hashlib.blake2b(written, digest_size=16).digest()


_verdicts = _Verdicts()


@cache
def _children() -> Confined:
    return Confined(f"{schema_child.__name__}:check", BUDGET, processes=2, wait_seconds=2.0)


def is_known(written: bytes) -> bool:
    """Whether this schema, as bytes of JSON, was measured and has compiled before. Raises ``TooCostly``."""
    n_costly = _verdicts.get(written)
    if n_costly is not None and n_costly >= _MAX_COSTLY:
        raise TooCostly
    return n_costly is not None


def compiles(written: bytes, allowance: Allowance | None = None) -> bool:
    """Whether this is a JSON schema, as bytes of JSON. Raises ``TooCostly``, and ``Unavailable`` if all are busy."""
    if is_known(written):
        return True
    is_good = _ask(written, b"", n_costly=_MAX_COSTLY, allowance=allowance) != schema_child.BAD
    if is_good:
        _verdicts.add(written, 0)
    return is_good


def is_valid(written: bytes, value: bytes) -> bool:
    """Whether a value, as bytes of JSON, is valid under the schema. Raises the errors of ``compiles``."""
    if (_verdicts.get(written) or 0) >= _MAX_COSTLY:
        raise TooCostly
    return _ask(written, value, n_costly=1) == schema_child.YES


def _ask(written: bytes, value: bytes, n_costly: int, allowance: Allowance | None = None) -> bytes:
    request = schema_child.SIZE.pack(len(written)) + written + value
    seconds = BUDGET.seconds
    try:
        try:
            answer = _children().call(request)
        except (OverBudget, ConfinedError) as error:
            if isinstance(error, OverBudget) and error.resource == "time":
                raise
            # The child may have died of what others had sent, or of the machine. The next one tells.
            answer = _children().call(request)
        [seconds] = schema_child.SECONDS.unpack_from(answer)
        return answer[schema_child.SECONDS.size :]
    except (OverBudget, ConfinedError):
        _verdicts.add(written, n_costly)
        raise TooCostly from None
    finally:
        if allowance is not None:
            allowance.spend(seconds)
