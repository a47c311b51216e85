"""How often a call is tried, and how long is waited between two tries."""

import random

from lengthwise.client._error import RefusedError, UnreachableError

#: Answers that may be other ones later: too much waits, a server or what it stands on is away, a disk is full.
TRANSIENT_STATUSES = frozenset({429, 502, 503, 504, 507})

_FIRST_SECONDS = 0.25
_MOST_SECONDS = 15.0


class RetryBudget:
    """Of one call: it lasts for so many seconds of waiting, and is whole again once something was achieved."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        self._waited = 0.0
        self._next = _FIRST_SECONDS

    def after(self, error: RefusedError | UnreachableError) -> float:
        """Seconds to wait before the next try; longer each time, never less than was asked for. Raises ``error``."""
        asked = error.retry_after if isinstance(error, RefusedError) else None
        if isinstance(error, RefusedError) and error.status not in TRANSIENT_STATUSES:
            raise error
        wait = max(self._next * random.uniform(0.5, 1), asked or 0)  # noqa: S311 — so that callers do not come together
        if self._waited + wait > self._seconds:
            raise error
        self._waited += wait
        self._next = min(2 * self._next, _MOST_SECONDS)
        return wait
