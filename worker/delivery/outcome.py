"""How one attempt to deliver a webhook ended, and how long to wait before the next.

The receiver's answer comes from a stranger. It is cut to a fixed length, decoded without errors, and left out of reprs
so that it stays out of logs.
"""

import re
from dataclasses import dataclass, field
from random import Random

from lengthwise.retry_after import MAX_RETRY_AFTER

MAX_EXCERPT_CHARACTERS = 512

#: Postgres does not store NUL, and terminals obey the other control characters.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

#: Seconds before each further attempt, 76 hours in all. The short ones are for a receiver that restarts. The long ones
#: are for a receiver that people must repair, which may take until after a weekend.
DELAYS = (5, 30, 2 * 60, 10 * 60, 1 * 3600, 3 * 3600, 8 * 3600, 16 * 3600, 24 * 3600, 24 * 3600)

#: Each delay is up to a fifth shorter or longer, so that deliveries that failed together do not all return together.
JITTER = 0.2


@dataclass(frozen=True)
class AttemptOutcome:
    """How one attempt ended: with a status, or with an ``error``, or with both for a redirect."""

    #: The answer's status; None if there was no answer.
    status: int | None = None
    #: Why there was no usable answer: ``invalid_url``, ``forbidden_address``, ``unresolvable``,
    #: ``connect_refused``, ``unreachable``, ``tls``, ``reset``, ``timeout``, ``protocol`` or ``redirect``.
    error: str | None = None
    #: The pause in seconds that the receiver asked for, 0 to 86,400; None if it asked for none.
    retry_after: float | None = None
    #: The answer's first 512 characters at most, without control characters other than newline and tab.
    response_excerpt: str = field(default="", repr=False)
    #: How long the attempt took.
    seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether the receiver answered 2xx. It counts even if the answer's body could not be read."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def result(self) -> str:
        """``delivered``, the error, or the class of the status, such as ``status_5xx``."""
        if self.delivered:
            return "delivered"
        return self.error or f"status_{(self.status or 0) // 100}xx"

    @property
    def gone(self) -> bool:
        """Whether the receiver answered 410: it wants no further deliveries."""
        return self.status == 410


def excerpt(body: bytes) -> str:
    """The first 512 characters of ``body`` as UTF-8. Invalid bytes and control characters become U+FFFD."""
    return _CONTROL.sub("\ufffd", body.decode("utf-8", errors="replace")[:MAX_EXCERPT_CHARACTERS])


def next_delay(attempt: int, retry_after: float | None, rng: Random) -> float | None:
    """Seconds until the next attempt, after the ``attempt``-th (from 1) failed. None if that was the last one.

    It is at least the pause ``retry_after`` that the receiver asked for, of which at most a day counts.
    """
    if attempt < 1:
        raise ValueError("attempts are counted from 1")
    if attempt > len(DELAYS):
        return None
    delay = DELAYS[attempt - 1] * rng.uniform(1 - JITTER, 1 + JITTER)
    return max(delay, min(retry_after or 0.0, MAX_RETRY_AFTER))
