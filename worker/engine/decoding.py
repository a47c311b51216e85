"""Runs a batch to its end, token by token, and lets finished rows go. Knows nothing of architectures."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch

from worker.engine.protocol import Completion
from worker.engine.sampling import choose
from worker.engine.sequence import Running
from worker.engine.vocabulary import Vocabulary

#: Finished rows are dropped once they are one in so many: dropping copies the caches of those that stay, and on a GPU
#: steps have to be recorded anew.
_RETIRE_ONE_IN, _GPU_RETIRE_ONE_IN = 8, 2


class Stepper(Protocol):
    """A batch inside a model."""

    def start(self) -> torch.Tensor:
        """Reads the inputs; gives the scores of each row's first token, ``[rows, vocabulary]``."""
        ...

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Adds one id a row, ``[rows]``; gives the scores of the next."""
        ...

    @property
    def token_bytes(self) -> int:
        """What keys and values take for each token of input, once it was read."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Forgets all rows but these, whose order is theirs from now on."""
        ...


def decode(stepper: Stepper, rows: Sequence[Running], vocabulary: Vocabulary) -> Iterator[Completion]:
    """Yields completions in the order in which they finish."""
    batch = _Batch(stepper, rows, vocabulary)
    finished = batch.advance()
    while True:
        yield from (row.completion() for row in finished)
        if not batch.is_live:
            return
        finished = batch.advance()


class _Batch:
    def __init__(self, stepper: Stepper, rows: Sequence[Running], vocabulary: Vocabulary) -> None:
        self.stepper, self.rows, self.vocabulary = stepper, list(rows), vocabulary
        self._tokens: torch.Tensor | None = None

    @property
    def is_live(self) -> bool:
        return any(row.is_live for row in self.rows)

    @torch.inference_mode()
    def advance(self) -> list[Running]:
        """One token for every live row; returns the rows that ended with it."""
        logits = self.stepper.start() if self._tokens is None else self.stepper.step(self._tokens)
        chosen = choose(logits, self.rows, self.vocabulary)
        pairs = zip(self.rows, chosen, strict=True)
        finished = [row for row, token in pairs if row.is_live and row.take(token)]
        self._retire(chosen, logits.device)
        return finished

    def _retire(self, chosen: list[int], device: torch.device) -> None:
        staying = [place for place, row in enumerate(self.rows) if row.is_live]
        one_in = _RETIRE_ONE_IN if device.type == "cpu" else _GPU_RETIRE_ONE_IN
        if staying and (len(self.rows) - len(staying)) * one_in >= len(self.rows):
            self.stepper.keep(staying)
            self.rows = [self.rows[place] for place in staying]
            chosen = [chosen[place] for place in staying]
        self._tokens = torch.tensor(chosen, device=device)
