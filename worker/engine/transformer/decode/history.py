"""What one row has read and written, for the rules that depend on it, and these rules applied to scores.

A row's scores depend on its own history alone. Rows without one cost nothing.
"""

from array import array
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Self

import torch

from worker.engine.transformer.decode.rules import Rules


class History:
    """The ids of one row: ``tokens`` were read, ``n_forced`` more are given, and then the model decides."""

    def __init__(self, rules: Rules, tokens: Sequence[int], n_forced: int, penalty: float) -> None:
        self._rules, self.penalty = rules, penalty
        #: Whether it forbids ids, or forces one.
        self.restricts = rules.needs_history
        self._n_read = len(tokens)
        self._begin = len(tokens) + n_forced
        if self._begin == 1 and rules.forced_start is not None:
            self._begin = 2
        self._lengths = sorted({len(beginning) for beginning in rules.bad_words})
        self._tokens = array("q")
        #: The same ids, each once, and only if there is a penalty.
        self.seen = array("q")
        self._known: set[int] = set()
        self._extend(tokens)

    @classmethod
    def begun(cls, rules: Rules, tokens: Sequence[int], n_forced: int, penalty: float | None) -> Self | None:
        """The history of a new row; None if nothing depends on it. ``penalty`` comes before the model's own."""
        penalty = rules.repetition_penalty if penalty is None else penalty
        return cls(rules, tokens, n_forced, penalty) if penalty != 1 or rules.needs_history else None

    def append(self, token: int) -> None:
        """Adds an id that was written."""
        self._extend((token,))

    def continued(self, tokens: Iterable[int]) -> "History":
        """A history that goes on with these ids. This one stays as it is."""
        found = copy(self)
        found._tokens, found._known, found.seen = self._tokens[:], set(self._known), self.seen[:]
        found._extend(tokens)
        return found

    def _extend(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            self._tokens.append(token)
            if self.penalty != 1 and token not in self._known:
                self._known.add(token)
                self.seen.append(token)

    @property
    def forced(self) -> int | None:
        """The id that must come next, whatever its score."""
        return self._rules.forced_start if len(self._tokens) == 1 else None

    def forbidden(self) -> set[int]:
        """The ids that must not come next."""
        rules, tokens = self._rules, self._tokens
        found = set(self._repeated(rules.no_repeat_ngram_size))
        for length in self._lengths:
            found |= rules.bad_words.get(tuple(tokens[-length:]), frozenset())
        if len(tokens) < rules.min_length or len(tokens) - self._n_read < rules.min_new_tokens:
            found |= rules.ends
        if len(tokens) == self._begin:
            found |= rules.begin_suppressed
        return found

    def _repeated(self, size: int) -> list[int]:
        """The ids with which a run of ``size`` ids would come a second time."""
        n_runs = len(self._tokens) - size + 1
        if not size or n_runs < 1:
            return []
        tokens = torch.frombuffer(self._tokens, dtype=torch.int64)
        matches = torch.ones(n_runs, dtype=torch.bool)
        for place in range(size - 1):
            matches &= tokens[place : place + n_runs] == tokens[n_runs + place]
        found: list[int] = tokens[size - 1 :][matches].tolist()
        return found


def applied(scores: torch.Tensor, histories: Sequence[History | None]) -> torch.Tensor:
    """``scores`` ``[rows, vocabulary]`` under the rules of the rows that have a history.

    Changes them in place, or a copy in fp32 if they have another type: there transformers computes penalties.
    """
    ruled = [(row, history) for row, history in enumerate(histories) if history is not None]
    if not ruled:
        return scores
    scores = scores.float().contiguous()
    _penalize(scores, [(row, history) for row, history in ruled if history.seen])
    _restrict(scores, [(row, history) for row, history in ruled if history.restricts])
    return scores


def _penalize(scores: torch.Tensor, ruled: Sequence[tuple[int, History]]) -> None:
    """All rows at once. Each number is computed from itself and its row's penalty alone."""
    if not ruled:
        return
    width = scores.shape[1]
    ids = torch.frombuffer(bytearray().join(history.seen for _, history in ruled), dtype=torch.int64)
    counts = torch.tensor([len(history.seen) for _, history in ruled])
    places = torch.tensor([row * width for row, _ in ruled]).repeat_interleave(counts).add_(ids)
    penalties = torch.tensor([history.penalty for _, history in ruled]).repeat_interleave(counts)
    if int(ids.max()) >= width:  # some embeddings have more rows than there are scores
        places, penalties = places[ids < width], penalties[ids < width]
    places, penalties = places.to(scores.device), penalties.to(scores.device)
    flat = scores.view(-1)
    found = flat[places]
    flat.scatter_(0, places, torch.where(found < 0, found * penalties, found / penalties))


def _restrict(scores: torch.Tensor, ruled: Sequence[tuple[int, History]]) -> None:
    width = scores.shape[1]
    forbidden = [(row, token) for row, history in ruled for token in history.forbidden() if token < width]
    if forbidden:
        scores[[row for row, _ in forbidden], [token for _, token in forbidden]] = -torch.inf
    for row, history in ruled:
        if history.forced is not None:
            scores[row] = -torch.inf
            scores[row, history.forced] = 0
