"""What came of one attempt to deliver a webhook, and how a receiver's answer is read into it.

Everything here is a stranger's bytes: bounded, decoded without failing, kept out of reprs and so out of logs.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

#: A day, in seconds: no receiver holds a delivery back for longer.
MAX_RETRY_AFTER = 86_400.0
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


def retry_after_of(headers: Iterable[tuple[bytes, bytes]], now: float | None = None) -> float | None:
    """The first Retry-After, seconds or an HTTP date (RFC 9110 §10.2.3), as 0 to 86,400 seconds from ``now``.

    ``now`` is in Unix seconds, the clock's if not given. None without the header, or if it is neither.
    """
    value = next((value for name, value in headers if name.lower() == b"retry-after"), None)
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if re.fullmatch("[0-9]+", text):
        # More digits than a day has are not worth an int's quadratic work.
        return min(float(text[:20]), MAX_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(text)
        # HTTP dates are in GMT; ``-0000`` alone parses as naive.
        at = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(at - (time.time() if now is None else now), 0.0), MAX_RETRY_AFTER)


def head_of(body: bytes) -> str:
    """The first 512 characters of ``body`` as UTF-8; what is not, and control characters, as U+FFFD."""
    return _CONTROL.sub("\ufffd", body.decode("utf-8", errors="replace")[:MAX_HEAD_CHARACTERS])
