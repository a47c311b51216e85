"""The outcome of one attempt to deliver a webhook, as read from the receiver's answer.

The answer comes from a stranger: it is cut, decoded without failing, and kept out of reprs and therefore out of logs.
"""

import re
from dataclasses import dataclass, field

MAX_HEAD_CHARACTERS = 512

#: Besides the C1 controls, Postgres stores no NUL and terminals obey the rest.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class AttemptOutcome:
    """How one attempt ended: with a status, or with an ``error``; with both for a redirect."""

    #: The answer's status; None if there was none.
    status: int | None = None
    #: Why there was no usable answer: ``invalid_url``, ``forbidden_address``, ``unresolvable``,
    #: ``connect_refused``, ``unreachable``, ``tls``, ``reset``, ``timeout``, ``protocol`` or ``redirect``.
    error: str | None = None
    #: Seconds the receiver asked to be left alone for, 0 to 86,400.
    retry_after: float | None = None
    #: The answer's first characters, 512 at most, without control characters but newline and tab.
    response_head: str = field(default="", repr=False)
    #: How long the attempt took.
    seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        """The receiver answered 2xx. What became of its body does not matter."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The receiver answered 410: it wants nothing more."""
        return self.status == 410


def head_of(body: bytes) -> str:
    """The first 512 characters of ``body`` as UTF-8; what is not, and control characters, as U+FFFD."""
    return _CONTROL.sub("\ufffd", body.decode("utf-8", errors="replace")[:MAX_HEAD_CHARACTERS])
