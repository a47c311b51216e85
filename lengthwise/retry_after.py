"""Reads the header Retry-After of an answer over HTTP."""

import re
import time
from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime

#: A day, in seconds: nobody is made to wait for longer.
MAX_RETRY_AFTER = 86_400.0


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
