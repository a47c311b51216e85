"""What the client's logic asks of whatever carries it out: it does no I/O itself and knows neither threads nor loops.

The logic of a call is a generator of effects, which is sent what each came to, and returns the call's result.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lengthwise.client.spool import Spool

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str | int | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Spool | None = None
    #: How long the answer may take to begin, beyond what any may.
    patience_seconds: float = 0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    #: Empty while the answer is still to be read.
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Send:
    """Comes to the whole ``Answer``, or raises ``Unreachable``."""

    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """As ``Send``, but of an answer below 300 the content is left for ``Read``. It takes the place of one before."""

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """Comes to the next bytes of what is open, b"" at its end; raises ``Unreachable`` where it breaks off."""


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Give:
    """For the caller, who iterates."""

    values: list[Any]


Effect = Send | Open | Read | Pause | Give
Steps = Generator[Effect, Any, T]
