"""How many requests a server is given at once: a little more while it keeps up, half as soon as it refuses.

Additive increase, multiplicative decrease, as in TCP (Chiu and Jain 1989). Pure: knows neither a clock nor a server.
"""

#: What a server is given at first.
_FIRST = 4

#: Growth ends where a token takes this many times as long as it did at best: more requests would only wait there.
_SLOWER = 2.0

#: Answers whose times are taken together, at least: a short answer's tokens take longer than a long one's.
_MIN_ROUND = 8


class Concurrency:
    """``most`` requests at once, and at least one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = min(_FIRST, most)
        self._halved_at = float("-inf")
        self._begin_round()
        self._best: float | None = None

    def _begin_round(self) -> None:
        self._n_answers = self._n_tokens = 0
        self._seconds = 0.0

    def answered(self, seconds: float, n_tokens: int) -> None:
        """A request was answered with this many tokens: with each round of ``limit`` answers the limit grows by one."""
        self._n_answers += 1
        self._n_tokens += 1 + n_tokens  # reading is work too
        self._seconds += seconds
        if self._n_answers < max(_MIN_ROUND, self.limit):
            return
        pace = self._seconds / self._n_tokens
        self._begin_round()
        self._best = pace if self._best is None else min(self._best, pace)
        if pace <= _SLOWER * self._best:
            self.limit = min(self._most, self.limit + 1)

    def refused(self, began_at: float, now: float) -> None:
        """A request that began at ``began_at`` was too much. Those sent before the last halving say nothing new."""
        if began_at < self._halved_at:
            return
        self._halved_at = now
        self.limit = max(1, self.limit // 2)
        self._begin_round()
        self._best = None
