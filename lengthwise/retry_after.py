"""Reads the header Retry-After of an answer (RFC 9110 §10.2.3), for deliveries and for engines on servers."""

import re
import time
from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime

#: A day, in seconds: a server that asks for a longer pause gets a day.
MAX_RETRY_AFTER = 86_400.0


def parse_retry_after(headers: Iterable[tuple[bytes, bytes]], now: float | None = None) -> float | None:
    """The first Retry-After, in seconds or as an HTTP date, as 0 to 86,400 seconds from ``now``.

    ``now`` is in Unix seconds; the default is the answer's own Date, so that only the sender's clock counts, or else
    this host's time. Returns None if the header is missing, or is neither.
    """
    named = {name.lower(): value.decode("latin-1").strip() for name, value in reversed(list(headers))}
    text = named.get(b"retry-after")
    if text is None:
        return None
    if re.fullmatch("[0-9]+", text):
        # Twenty digits are far beyond a day, and parsing very long numbers takes quadratic time.
        return min(float(text[:20]), MAX_RETRY_AFTER)
    at = _unix_time(text)
    if at is None:
        return None
    sent_at = _unix_time(named.get(b"date", "")) if now is None else now
    return min(max(at - (time.time() if sent_at is None else sent_at), 0.0), MAX_RETRY_AFTER)


def _unix_time(text: str) -> float | None:
    """An HTTP date in Unix seconds; None if it is none."""
    try:
        date = parsedate_to_datetime(text)
        # HTTP dates are in GMT. Only the zone ``-0000`` is parsed as a date without a zone.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
