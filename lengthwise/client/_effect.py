"""What the client's logic asks of its transport. The logic does no I/O, and knows no threads or event loops.

The logic of a call is a generator of effects. The transport sends back the outcome of each; the generator returns the
result of the call.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lengthwise.client._error import ClientError
from lengthwise.client._spool import Spool

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    path: str
    query: Mapping[str, str | int | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Spool | None = None
    #: How long the server may hold the answer back, beyond the timeout of every request.
    wait_seconds: float = 0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: Mapping[str, str]
    #: Empty if the body is still to be read.
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class SendEffect:
    """Its outcome is an ``HttpResponse`` with the whole body; raises ``UnreachableError``."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class OpenEffect:
    """As ``SendEffect``, but leaves the body of a success for ``ReadEffect``; closes the response opened before."""

    request: HttpRequest


@dataclass(frozen=True, slots=True)
class ReadEffect:
    """Its outcome is the next bytes of the open response, b"" at the end; raises ``UnreachableError`` if it breaks."""


@dataclass(frozen=True, slots=True)
class PauseEffect:
    """A pause before a retry, because of ``error``; all pauses from here on take at most ``left_seconds``."""

    seconds: float
    error: ClientError
    left_seconds: float


@dataclass(frozen=True, slots=True)
class YieldEffect:
    """Hands values to the caller, who iterates over the call."""

    values: list[Any]


#: Is told of a pause before it begins.
OnRetry = Callable[[ClientError, float], None]
Effect = SendEffect | OpenEffect | ReadEffect | PauseEffect | YieldEffect
Steps = Generator[Effect, Any, T]
