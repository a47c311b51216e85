"""How many items a second: over the last minute by a clock, which may be one that runs only while there is work."""

from collections import deque

#: The time over which items are averaged.
_SECONDS = 60.0


class Pace:
    """Knows how many items there were at some moments. ``at``: the first of them, when there was none yet."""

    def __init__(self, at: float) -> None:
        self._counts = deque([(at, 0)])

    def after(self, at: float, n_items: int) -> float:
        """Items per second over the last minute up to ``at``, or since the first moment; ``n_items`` counts them all.

        No moment is before the last one. While the clock stands still, what is counted belongs to that moment.
        """
        counts = self._counts
        if at == counts[-1][0] and len(counts) > 1:
            counts.pop()
        counts.append((at, n_items))
        while at - counts[1][0] >= _SECONDS:
            counts.popleft()
        began_at, n_before = counts[0]
        return (n_items - n_before) / max(at - began_at, 1e-6)
