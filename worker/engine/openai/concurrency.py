"""Limits the concurrent requests to a server: grows slowly while it keeps up, and halves as soon as it refuses one.

Additive increase, multiplicative decrease, as in TCP (Chiu and Jain 1989). Pure: knows neither a clock nor a server.
"""

#: Concurrent requests at the start.
_FIRST = 4

#: The limit stops growing once a token takes this many times its best time: more requests would wait at the server.
_SLOWER = 2.0

#: The least number of answers in an average, because the time per token differs between short and long answers.
_MIN_ROUND = 8


class Concurrency:
    """The limit of concurrent requests, between 1 and ``maximum``."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self.limit = min(_FIRST, maximum)
        self._halved_at = float("-inf")
        self._begin_round()
        self._best: float | None = None

    def _begin_round(self) -> None:
        self._n_answers = self._n_tokens = 0
        self._seconds = 0.0

    def record_answer(self, seconds: float, n_tokens: int) -> None:
        """Records an answer of ``n_tokens``. The limit grows by one with each round of ``limit`` answers."""
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

    def record_refusal(self, began_at: float, now: float) -> None:
        """Halves the limit because the server refused a request, unless that was sent before the last halving."""
        if began_at < self._halved_at:
            return
        self._halved_at = now
        self.limit = max(1, self.limit // 2)
        self._begin_round()
        self._best = None
