"""What the client's logic asks of whatever carries it out: it does no I/O itself and knows neither threads nor loops.

The logic of a call is a generator of effects, which is sent what each came to, and returns the call's result.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lengthwise.client._spool import Spool

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    path: str
    query: Mapping[str, str | int | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Spool | None = None
    #: How long the answer may take to begin, beyond what any may.
    patience_seconds: float = 0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: Mapping[str, str]
    #: Empty while the answer is still to be read.
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class SendEffect:
    """Comes to the whole ``HttpResponse``, or raises ``Unreachable``."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class OpenEffect:
    """As ``SendEffect``, but leaves the body of a success for ``ReadEffect``; closes the response opened before."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class ReadEffect:
    """Comes to the next bytes of what is open, b"" at its end; raises ``Unreachable`` where it breaks off."""


@dataclass(frozen=True, slots=True)
class PauseEffect:
    seconds: float


@dataclass(frozen=True, slots=True)
class YieldEffect:
    """For the caller, who iterates."""

    values: list[Any]


Effect = SendEffect | OpenEffect | ReadEffect | PauseEffect | YieldEffect
Steps = Generator[Effect, Any, T]
