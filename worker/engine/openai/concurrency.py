"""How many requests a server gets at once: a few more while it keeps up, half as many as soon as it refuses.

Additive increase, multiplicative decrease, as in TCP (Chiu and Jain 1989). Pure: knows neither a clock nor a server.
"""

#: Requests at once at the start.
_FIRST = 4

#: Growth stops once a token takes this many times as long as at best: more requests would only wait at the server.
_SLOWER = 2.0

#: The fewest answers whose times are averaged, because tokens of short answers take longer than those of long ones.
_MIN_ROUND = 8


class Concurrency:
    """Between 1 and ``maximum`` requests at once."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self.limit = min(_FIRST, maximum)
        self._halved_at = float("-inf")
        self._begin_round()
        self._best: float | None = None

    def _begin_round(self) -> None:
        self._n_answers = self._n_tokens = 0
        self._seconds = 0.0

    def answered(self, seconds: float, n_tokens: int) -> None:
        """Notes an answer of so many tokens. The limit grows by one with each round of ``limit`` answers."""
        self._n_answers += 1
        self._n_tokens += 1 + n_tokens  # reading the prompt is work too
        self._seconds += seconds
        if self._n_answers < max(_MIN_ROUND, self.limit):
            return
        pace = self._seconds / self._n_tokens
        self._begin_round()
        self._best = pace if self._best is None else min(self._best, pace)
        if pace <= _SLOWER * self._best:
            self.limit = min(self._maximum, self.limit + 1)

    def refused(self, began_at: float, now: float) -> None:
        """Halves the limit, because the server refused a request; one sent before the last halving changes nothing."""
        if began_at < self._halved_at:
            return
        self._halved_at = now
        self.limit = max(1, self.limit // 2)
        self._begin_round()
        self._best = None
