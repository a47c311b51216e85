"""Chooses each row's next token from its scores: greedy, drawn, or forced by a prefix."""

from collections.abc import Sequence

import torch

from worker.engine.protocol import Sampling
from worker.engine.transformer.decode import history
from worker.engine.transformer.decode.sequence import RunningSequence
from worker.engine.transformer.decode.vocabulary import Vocabulary
from worker.engine.transformer.native.tokens import argmax

#: A lower temperature is drawn as this one, which is greedy for any scores: fp32 has no smaller normal number.
_LEAST_TEMPERATURE = 1e-37


def suppress(scores: torch.Tensor, vocabulary: Vocabulary) -> None:
    """Sets the scores of ids that must never be written to −∞, in place; ``scores`` ``[rows, vocabulary]``."""
    if vocabulary.suppressed:
        scores.index_fill_(1, torch.tensor(vocabulary.suppressed, device=scores.device), -torch.inf)


def choose(logits: torch.Tensor, rows: Sequence[RunningSequence], vocabulary: Vocabulary) -> list[int]:
    """Chooses one id for each row of ``logits`` ``[rows, vocabulary]``, and changes these in place.

    A row's draw depends only on its own scores and its own random generator.
    """
    suppress(logits, vocabulary)
    logits = history.applied(logits, [None if row.history is None or row.is_given else row.history for row in rows])
    chosen = argmax(logits)
    for row, running in enumerate(rows):
        if not running.is_live:
            continue
        if running.forced is not None:
            chosen[row] = running.forced
        elif running.request.sampling.temperature > 0:
            chosen[row] = draw(logits[row], running.request.sampling, running.random.random())
    _score(logits, rows, chosen)
    return chosen


def _score(logits: torch.Tensor, rows: Sequence[RunningSequence], chosen: Sequence[int]) -> None:
    """Adds the log-probability of the chosen ids to those rows whose request asks for it."""
    scored = [row for row, running in enumerate(rows) if running.is_scored]
    if not scored:
        return
    # Row by row: if all rows were computed together, a row's last bits would depend on the others.
    found = [logits[row, chosen[row]].float() - logits[row].float().logsumexp(0) for row in scored]
    for row, log_probability in zip(scored, torch.stack(found).tolist(), strict=True):
        rows[row].log_probability += log_probability


def draw(logits: torch.Tensor, sampling: Sampling, point: float) -> int:
    """Draws an id from ``logits`` ``[vocabulary]``: temperature, then ``top_k``, then ``top_p``.

    ``point``, from 0 to 1, says where in the cumulative distribution the draw falls.
    """
    scores = logits.float()
    # The greatest becomes 0: near a temperature of 0, it would be infinite.
    scores = (scores - scores.max()) / max(sampling.temperature, _LEAST_TEMPERATURE)
    n_kept = min(sampling.top_k or len(scores), len(scores))
    values, ids = torch.topk(scores, n_kept)
    shares = torch.softmax(values, dim=0).double()
    if sampling.top_p < 1:
        # A token stays if the likelier ones before it have not reached top_p together.
        before = shares.cumsum(0) - shares
        before[0] = -1
        shares = shares * (before < sampling.top_p)
    reached = shares.cumsum(0)
    place = int(torch.searchsorted(reached, point * reached[-1], right=True))
    return int(ids[min(place, n_kept - 1)])
