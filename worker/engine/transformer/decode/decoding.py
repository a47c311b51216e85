"""Runs a batch to its end, token by token, and lets finished rows go. Knows nothing of architectures."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Self

import torch

from worker.engine.protocol import Completion
from worker.engine.transformer.decode.sampling import choose
from worker.engine.transformer.decode.sequence import RunningSequence
from worker.engine.transformer.decode.vocabulary import Vocabulary

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


class OpenStepper(Stepper, Protocol):
    """One whose batch others may join."""

    def join(self, other: Self) -> list[int]:
        """Takes another's rows in behind its own; returns the order in which they all are from now on."""
        ...


def decode(stepper: Stepper, rows: Sequence[RunningSequence], vocabulary: Vocabulary) -> Iterator[Completion]:
    """Yields completions in the order in which they finish."""
    batch = _Batch(stepper, rows, vocabulary)
    finished = batch.advance()
    while True:
        yield from (row.completion() for row in finished)
        if not batch.is_live:
            return
        finished = batch.advance()


def decode_from(
    source: Callable[[], Sequence[RunningSequence]],
    begin: Callable[[Sequence[RunningSequence]], OpenStepper],
    vocabulary: Vocabulary,
) -> Iterator[Completion]:
    """The same for rows that come bit by bit: before each step ``source`` is asked for those that are to join, and all
    is over once it gives none and none is left. ``begin`` makes a batch of them.
    """
    batch: _OpenBatch | None = None
    while (new := source()) or batch is not None:
        yield from (row.completion() for row in new if not row.is_live)
        if rows := [row for row in new if row.is_live]:
            fresh = _OpenBatch(begin(rows), rows, vocabulary)
            yield from (row.completion() for row in fresh.advance())
            batch = fresh if batch is None else batch.joined_by(fresh)
        if batch is not None and batch.is_live:
            yield from (row.completion() for row in batch.advance())
        if batch is not None and not batch.is_live:
            batch = None


class _Batch:
    def __init__(self, stepper: Stepper, rows: Sequence[RunningSequence], vocabulary: Vocabulary) -> None:
        self.stepper, self.rows, self.vocabulary = stepper, list(rows), vocabulary
        self._tokens: torch.Tensor | None = None

    @property
    def is_live(self) -> bool:
        return any(row.is_live for row in self.rows)

    @torch.inference_mode()
    def advance(self) -> list[RunningSequence]:
        """One token for every live row; returns the rows that ended with it."""
        logits = self.stepper.start() if self._tokens is None else self.stepper.step(self._tokens)
        chosen = choose(logits, self.rows, self.vocabulary)
        pairs = zip(self.rows, chosen, strict=True)
        finished = [row for row, token in pairs if row.is_live and row.take(token)]
        self._tokens = torch.tensor(chosen, device=logits.device)
        self._retire(_RETIRE_ONE_IN if logits.device.type == "cpu" else _GPU_RETIRE_ONE_IN)
        return finished

    def _retire(self, one_in: int) -> None:
        staying = [place for place, row in enumerate(self.rows) if row.is_live]
        if staying and (len(self.rows) - len(staying)) * one_in >= len(self.rows):
            self.stepper.keep(staying)
            self._order(staying)

    def _order(self, places: Sequence[int]) -> None:
        assert self._tokens is not None  # noqa: S101 — a step was taken
        self.rows = [self.rows[place] for place in places]
        self._tokens = self._tokens[torch.tensor(places, device=self._tokens.device)]


class _OpenBatch(_Batch):
    stepper: OpenStepper

    def joined_by(self, other: "_OpenBatch") -> "_OpenBatch":
        """Both as one, without the rows that ended; each has taken a step, and this one is live."""
        if not other.is_live:
            return self
        self._retire(len(self.rows))
        other._retire(len(other.rows))
        assert self._tokens is not None and other._tokens is not None  # noqa: S101
        self.rows += other.rows
        self._tokens = torch.cat([self._tokens, other._tokens])
        self._order(self.stepper.join(other.stepper))
        return self
