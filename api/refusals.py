"""Requests that were refused before their caller was known, added up by status.

Anybody can send as many of them as they like, so none of them gets a line in the log of its own.
"""

import logging
from collections import Counter

log = logging.getLogger(__name__)

_LOG_SECONDS = 60.0


class RefusalTally:
    """Used by one event loop."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._logs_at = 0.0

    @property
    def are_untold(self) -> bool:
        return bool(self._counts)

    def count(self, status: int) -> None:
        self._counts[status] += 1

    def tell(self, now: float) -> None:
        """Writes the sums, once a minute at most. ``now`` is the event loop's time."""
        if not self._counts or now < self._logs_at:
            return
        named = ", ".join(f"{count} with {status}" for status, count in sorted(self._counts.items()))
        log.warning("refused before authentication: %s", named)
        self._counts.clear()
        self._logs_at = now + _LOG_SECONDS
