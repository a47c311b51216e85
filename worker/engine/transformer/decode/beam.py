"""Beam search of one request: its running hypotheses, its best finished ones, and when the search ends.

The rules are those of transformers' ``generate``. Knows scores and ids, and nothing of the model or of other requests.
"""

from bisect import insort
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class BeamRules:
    """How finished hypotheses are ranked and when a search is over, from the model's ``generation_config.json``."""

    #: A hypothesis ranks by its sum of log-probabilities / (its number of ids, with the end token) ** this.
    length_penalty: float = 1.0
    #: When the search ends, once as many hypotheses have finished as there are beams. ``True``: at once. ``False``: as
    #: soon as the best running hypothesis, at its present length, ranks no higher than the worst finished one.
    #: ``"never"``: as soon as that holds at every length that it may still reach.
    early_stopping: bool | Literal["never"] = False
    #: Whether probabilities are renormalized over the ids that may be written.
    is_renormalized: bool = False


class Candidate(NamedTuple):
    """A running hypothesis, ``parent`` by its index, and one more id. ``score`` is the sum of log-probabilities."""

    score: float
    parent: int
    token: int


class Hypothesis(NamedTuple):
    """A running answer. ``parent`` is the index of the hypothesis it continues, among those of the step before."""

    score: float
    parent: int
    token: int
    tokens: tuple[int, ...]


class FinishedHypothesis(NamedTuple):
    """A finished answer without its end token; ``is_cut`` if the limit ended it. ``worth`` is what it ranks by."""

    worth: float
    score: float
    tokens: tuple[int, ...]
    is_cut: bool


class BeamSearch:
    """A search with ``beams`` beams for at most ``limit`` ids, the end token included.

    Every hypothesis begins with the ids of ``prefix``, which come on top of the limit. The length penalty counts them,
    as transformers counts ``forced_bos_token_id``. With ``forces_end``, the last id before the limit is an end token.
    """

    def __init__(
        self,
        beams: int,
        limit: int,
        ends: Collection[int],
        rules: BeamRules,
        prefix: Sequence[int] = (),
        forces_end: bool = False,
    ) -> None:
        self.beams = beams
        self.running: list[Hypothesis] = [Hypothesis(0.0, 0, -1, ())]
        self._ended: list[FinishedHypothesis] = []
        self._limit, self._ends, self._rules, self._prefix = limit, ends, rules, tuple(prefix)
        self._n_forced = self._n_written = 0
        self._forces_end = forces_end

    @property
    def forced(self) -> int | None:
        """The next id of the prefix; ``None`` once candidates from the model are needed."""
        return self._prefix[self._n_forced] if self._n_forced < len(self._prefix) else None

    def force(self) -> None:
        """Writes the id that ``forced`` gives."""
        self.running = [Hypothesis(0.0, 0, self._prefix[self._n_forced], ())]
        self._n_forced += 1

    def written(self, hypothesis: Hypothesis) -> tuple[int, ...]:
        """The ids of a hypothesis, with those of the prefix."""
        return (*self._prefix[: self._n_forced], *hypothesis.tokens)

    @property
    def must_end(self) -> bool:
        """Whether every hypothesis ends with the next id, and no candidates are needed."""
        return self._forces_end and self._n_written + 1 == self._limit

    def end(self) -> None:
        """Ends every hypothesis at the limit."""
        self._n_written += 1
        for each in self.running:
            self._end(each.score, each.tokens, is_cut=True)
        self.running = []

    def take(self, candidates: Sequence[Candidate]) -> None:
        """Continues with the best candidates.

        ``candidates`` are sorted, best first: ``candidates_per_step`` of them, or all if there are fewer.
        """
        self._n_written += 1
        running: list[Hypothesis] = []
        for rank, (score, parent, token) in enumerate(candidates[: candidates_per_step(self.beams, len(self._ends))]):
            before = self.running[parent].tokens
            if token in self._ends or self._n_written == self._limit:
                # Candidates after the first ``beams`` only replace ones that finish. They must not finish themselves.
                if rank < self.beams:
                    is_cut = token not in self._ends
                    self._end(score, (*before, token) if is_cut else before, is_cut)
            elif len(running) < self.beams:
                running.append(Hypothesis(score, parent, token, (*before, token)))
        self.running = [] if self._is_over(running) else running

    @property
    def best(self) -> FinishedHypothesis:
        """The best finished hypothesis; call it once nothing runs."""
        return self._ended[0]

    def _end(self, score: float, tokens: tuple[int, ...], is_cut: bool) -> None:
        ended = FinishedHypothesis(self._worth(score, self._n_written), score, tokens, is_cut)
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
        best_possible = self._worth(running[0].score, self._limit if is_any_length else self._n_written)
        return early is True or best_possible <= self._ended[-1].worth


def candidates_per_step(beams: int, n_ends: int) -> int:
    """How many candidates a step needs so that ``beams`` of them can go on. ``n_ends``: the number of end tokens."""
    return max(2, 1 + n_ends) * beams
