"""Beam search of one request: the hypotheses that run, the best of those that ended, and when no better one can come.

Pure: knows scores and ids, neither a model nor its neighbours. The rules are those of transformers' ``generate``.
"""

from bisect import insort
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class BeamRules:
    """How ended hypotheses compare, and when a search is over; a model's own (``generation_config.json``)."""

    #: A hypothesis is worth its sum of log-probabilities / (its ids, the end among them) ** this.
    length_penalty: float = 1.0
    #: With as many ended as there are beams, a search is over at once (``True``), as soon as the best running one is
    #: worth no more than the worst of them at its present length (``False``), or at any length (``"never"``).
    early_stopping: bool | Literal["never"] = False
    #: Whether probabilities are those among the ids that may be written at all.
    is_renormalized: bool = False


class Candidate(NamedTuple):
    """A running hypothesis and one more id. ``score`` is the sum of log-probabilities, ``parent`` its place."""

    score: float
    parent: int
    token: int


class Hypothesis(NamedTuple):
    """An answer so far. ``parent`` is the place that the one it continues had among those that ran."""

    score: float
    parent: int
    token: int
    tokens: tuple[int, ...]


class FinishedHypothesis(NamedTuple):
    """A whole answer; ``tokens`` are without the end."""

    worth: float
    score: float
    tokens: tuple[int, ...]
    is_cut: bool


class BeamSearch:
    """At most ``limit`` ids, the end among them, after the ids of ``prefix``, which every hypothesis begins with.

    A prefix counts for the length, as ``forced_bos_token_id`` does in transformers.
    """

    def __init__(
        self, beams: int, limit: int, ends: Collection[int], rules: BeamRules, prefix: Sequence[int] = ()
    ) -> None:
        self.beams = beams
        self.running: list[Hypothesis] = [Hypothesis(0.0, 0, -1, ())]
        self._ended: list[FinishedHypothesis] = []
        self._limit, self._ends, self._rules, self._prefix = limit, ends, rules, tuple(prefix)
        self._n_forced = self._n_written = 0

    @property
    def forced(self) -> int | None:
        """The id to write next whatever the model says; ``None`` where candidates are asked for."""
        return self._prefix[self._n_forced] if self._n_forced < len(self._prefix) else None

    def force(self) -> None:
        """Writes the id of ``forced``."""
        self.running = [Hypothesis(0.0, 0, self._prefix[self._n_forced], ())]
        self._n_forced += 1

    def take(self, candidates: Sequence[Candidate]) -> None:
        """Continues with the best of the ``candidates``, which come sorted, the best first: ``candidates_per_step`` of
        them, or all that exist.
        """
        self._n_written += 1
        running: list[Hypothesis] = []
        for rank, (score, parent, token) in enumerate(candidates[: candidates_per_step(self.beams, len(self._ends))]):
            before = self.running[parent].tokens
            if token in self._ends or self._n_written == self._limit:
                # Those further back stand by, so that there are enough to go on with; they are too bad to end.
                if rank < self.beams:
                    self._end(score, before, token)
            elif len(running) < self.beams:
                running.append(Hypothesis(score, parent, token, (*before, token)))
        self.running = [] if self._is_over(running) else running

    @property
    def best(self) -> FinishedHypothesis:
        """The answer, once nothing runs."""
        return self._ended[0]

    def _end(self, score: float, before: tuple[int, ...], token: int) -> None:
        is_cut = token not in self._ends
        ended = FinishedHypothesis(
            self._worth(score, self._n_written), score, (*before, token) if is_cut else before, is_cut
        )
        insort(self._ended, ended, key=lambda each: -each.worth)
        del self._ended[self.beams :]

    def _worth(self, score: float, n_written: int) -> float:
        return float(score / (len(self._prefix) + n_written) ** self._rules.length_penalty)

    def _is_over(self, running: Sequence[Hypothesis]) -> bool:
        if not running:
            return True
        if len(self._ended) < self.beams:
            return False
        early = self._rules.early_stopping
        is_any_length = early == "never" and self._rules.length_penalty > 0
        most = self._worth(running[0].score, self._limit if is_any_length else self._n_written)
        return early is True or most <= self._ended[-1].worth


def candidates_per_step(beams: int, n_ends: int) -> int:
    """How many candidates a step needs, so that there are ``beams`` to go on with however many end."""
    return max(2, 1 + n_ends) * beams
