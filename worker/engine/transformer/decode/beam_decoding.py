"""Runs a batch of beam searches step by step. Each hypothesis is a row; the rows of a request are adjacent."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from worker.engine.protocol import Completion, FinishReason
from worker.engine.transformer.decode import history
from worker.engine.transformer.decode.beam import BeamRules, BeamSearch, Candidate, candidates_per_step
from worker.engine.transformer.decode.decoding import Stepper
from worker.engine.transformer.decode.history import History
from worker.engine.transformer.decode.sampling import suppress
from worker.engine.transformer.decode.vocabulary import Vocabulary


class BeamStepper(Stepper, Protocol):
    """A stepper for beam search. Its ``keep`` accepts the same row more than once."""

    def reorder(self, rows: Sequence[int]) -> None:
        """Gives each row the written tokens of the named row, which must have the same source."""
        ...


class BeamLoop:
    """Beam searches of equal width, by the ids of their requests, in the order of the stepper's rows.

    ``histories`` are those of requests whose answers depend on what was written, before anything was.
    """

    def __init__(
        self,
        stepper: BeamStepper,
        searches: Mapping[int, BeamSearch],
        vocabulary: Vocabulary,
        rules: BeamRules,
        histories: Mapping[int, History],
    ) -> None:
        self.stepper, self.searches, self.vocabulary, self.rules = stepper, dict(searches), vocabulary, rules
        self._histories = histories
        self._tokens: torch.Tensor | None = None

    @property
    def is_done(self) -> bool:
        return not self.searches

    @torch.inference_mode()
    def step(self) -> list[Completion]:
        """Adds a token to every hypothesis. Returns the completions of searches that finished."""
        logits = self.stepper.start() if self._tokens is None else self.stepper.step(self._tokens)
        counts = [len(each.running) for each in self.searches.values()]
        self._choose(logits, counts)
        self._update_rows(counts, logits.device)
        finished = [_completion(number, each) for number, each in self.searches.items() if not each.running]
        self.searches = {number: each for number, each in self.searches.items() if each.running}
        return finished

    def _choose(self, logits: torch.Tensor, counts: Sequence[int]) -> None:
        searches = self.searches.values()
        scores = [hypothesis.score for each in searches for hypothesis in each.running]
        log_probabilities = self._log_probabilities(logits)
        wanted = max(candidates_per_step(each.beams, len(self.vocabulary.ends)) for each in searches)
        best, ids = log_probabilities.topk(min(wanted, log_probabilities.shape[1]))
        best += torch.tensor(scores, dtype=best.dtype, device=best.device)[:, None]
        rows = zip(best.tolist(), ids.tolist(), strict=True)
        for each, count in zip(searches, counts, strict=True):
            own = [next(rows) for _ in range(count)]
            if each.forced is not None:
                each.force()
            elif each.must_end:
                each.end()
            else:
                each.take(_candidates(own))

    def _log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Returns ``[rows, vocabulary]``, −∞ for ids that must never be written."""
        log_probabilities = torch.log_softmax(logits.float(), dim=1)
        suppress(log_probabilities, self.vocabulary)
        log_probabilities = history.applied(log_probabilities, self._written())
        return torch.log_softmax(log_probabilities, dim=1) if self.rules.is_renormalized else log_probabilities

    def _written(self) -> list[History | None]:
        """The history of each row; None where nothing depends on it, or the prefix decides."""
        if not self._histories:
            return []
        return [
            self._histories[number].continued(each.written(hypothesis))
            if number in self._histories and each.forced is None
            else None
            for number, each in self.searches.items()
            for hypothesis in each.running
        ]

    def _update_rows(self, counts: Sequence[int], device: torch.device) -> None:
        """Reorders the stepper's rows after the hypotheses, and drops the rows of finished searches."""
        rows: list[int] = []
        tokens: list[int] = []
        first = 0
        for each, count in zip(self.searches.values(), counts, strict=True):
            rows += [first + hypothesis.parent for hypothesis in each.running]
            tokens += [hypothesis.token for hypothesis in each.running]
            first += count
        if not rows:
            return
        if [len(each.running) for each in self.searches.values()] != counts:
            self.stepper.keep(rows)
        elif rows != list(range(first)):
            self.stepper.reorder(rows)
        self._tokens = torch.tensor(tokens, device=device)


def _completion(number: int, search: BeamSearch) -> Completion:
    best = search.best
    reason = FinishReason.LENGTH if best.is_cut else FinishReason.STOP
    return Completion(number, best.tokens, reason, log_probability=best.score)


def _candidates(own: Sequence[tuple[list[float], list[int]]]) -> list[Candidate]:
    """The candidates of one request's rows, best first."""
    found = [
        Candidate(score, parent, token)
        for parent, (scores, ids) in enumerate(own)
        for score, token in zip(scores, ids, strict=True)
        if score > -torch.inf
    ]
    return sorted(found, key=lambda candidate: -candidate.score)
