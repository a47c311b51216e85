"""Which failures are worth a retry, and how long to pause before it."""

import random

from lengthwise.client._effect import PauseEffect
from lengthwise.client._error import RefusedError, UnreachableError

#: Too much work waits; the server or what it depends on is away; a disk is full. Later the answer may differ.
TRANSIENT_STATUSES = frozenset({429, 502, 503, 504, 507})

_FIRST_SECONDS = 0.25
_MAX_SECONDS = 15.0


class RetryBudget:
    """The seconds that one call may pause in all. ``renew`` restores them after progress."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        self._waited = 0.0
        self._next = _FIRST_SECONDS

    def pause_after(self, error: RefusedError | UnreachableError) -> PauseEffect:
        """The pause before the next try: longer each time, and at least Retry-After.

        Raises ``error`` if a retry is pointless or the budget is spent.
        """
        retry_after = error.retry_after if isinstance(error, RefusedError) else None
        if isinstance(error, RefusedError) and error.status not in TRANSIENT_STATUSES:
            raise error
        pause = max(self._next * random.uniform(0.5, 1), retry_after or 0)  # noqa: S311 — callers must not return in step
        if self._waited + pause > self._seconds:
            raise error
        effect = PauseEffect(pause, error, self._seconds - self._waited)
        self._waited += pause
        self._next = min(2 * self._next, _MAX_SECONDS)
        return effect
