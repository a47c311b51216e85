"""When a webhook that failed is tried again. Pure: knows neither the clock nor what failed."""

from random import Random

from lengthwise.retry_after import MAX_RETRY_AFTER

#: Seconds before each further attempt, 76 h in all: at first for a receiver that restarts, then for one that
#: people have to mend, after a weekend at the latest.
DELAYS = (5, 30, 2 * 60, 10 * 60, 1 * 3600, 3 * 3600, 8 * 3600, 16 * 3600, 24 * 3600, 24 * 3600)

#: Deliveries that failed together do not come back together.
JITTER = 0.2


def next_delay(attempt: int, retry_after: float | None, rng: Random) -> float | None:
    """Seconds until the next attempt after the ``attempt``-th (from 1) failed; None when that was the last.

    Never sooner than ``retry_after`` seconds, the receiver's own wish, of which at most a day is granted.
    """
    if attempt < 1:
        raise ValueError("attempts are counted from 1")
    if attempt > len(DELAYS):
        return None
    delay = DELAYS[attempt - 1] * rng.uniform(1 - JITTER, 1 + JITTER)
    return max(delay, min(retry_after or 0.0, MAX_RETRY_AFTER))
