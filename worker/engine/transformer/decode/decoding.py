"""Writes the answers of a batch step by step, and drops rows that have finished. Knows nothing of architectures."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, Self, cast

import torch

from worker.engine.protocol import Completion
from worker.engine.transformer.decode.sampling import choose
from worker.engine.transformer.decode.sequence import RunningSequence
from worker.engine.transformer.decode.vocabulary import Vocabulary

#: Finished rows are dropped once they are one in so many of all rows. Dropping them copies the KV cache of the others,
#: and on a GPU a new CUDA graph has to be captured.
_RETIRE_ONE_IN, _GPU_RETIRE_ONE_IN = 8, 2


class Stepper(Protocol):
    """A batch inside a model."""

    def start(self) -> torch.Tensor:
        """Reads the inputs (prefill); returns the logits of each row's first token, ``[rows, vocabulary]``."""
        ...

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Adds one token id a row, ``[rows]``; returns the logits of the next token, ``[rows, vocabulary]``."""
        ...

    @property
    def token_bytes(self) -> int:
        """Bytes of keys and values for each token of input, known after ``start``."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Drops all rows but these, and puts them in this order."""
        ...


class ContinuousStepper(Stepper, Protocol):
    """One whose batch takes further rows in."""

    def join(self, other: Self) -> list[int]:
        """Appends the other's rows; returns the order in which all rows are from now on."""
        ...


class DecodeLoop:
    """Rows that write together, a token a step. ``begin`` makes a stepper for rows that have not been read yet.

    Rows may be added to others that still write only if the steppers are ``ContinuousStepper``.
    """

    def __init__(self, begin: Callable[[Sequence[RunningSequence]], Stepper], vocabulary: Vocabulary) -> None:
        self._begin, self._vocabulary = begin, vocabulary
        self._added: list[RunningSequence] = []
        self._batch: _Batch | None = None

    @property
    def is_done(self) -> bool:
        return self._batch is None and not self._added

    def add(self, rows: Iterable[RunningSequence]) -> None:
        """Has the next step read these rows."""
        self._added += rows

    def step(self) -> list[Completion]:
        """Reads the rows that were added, then writes a token for every live row; returns the finished answers."""
        finished = self._read() if self._added else []
        if self._batch is not None:
            finished += self._batch.advance()
            if not self._batch.is_live:
                self._batch = None
        return [row.completion() for row in finished]

    def _read(self) -> list[RunningSequence]:
        """Reads the added rows, which writes their first token, and joins them to the others."""
        added, self._added = self._added, []
        finished = [row for row in added if not row.is_live]
        if rows := [row for row in added if row.is_live]:
            fresh = _Batch(self._begin(rows), rows, self._vocabulary)
            finished += fresh.advance()
            if fresh.is_live:
                self._batch = fresh if self._batch is None else self._batch.joined_by(fresh)
        return finished


class _Batch:
    def __init__(self, stepper: Stepper, rows: Sequence[RunningSequence], vocabulary: Vocabulary) -> None:
        self.stepper, self.rows, self.vocabulary = stepper, list(rows), vocabulary
        self._tokens: torch.Tensor | None = None

    @property
    def is_live(self) -> bool:
        return any(row.is_live for row in self.rows)

    @torch.inference_mode()
    def advance(self) -> list[RunningSequence]:
        """Writes one token for every live row; returns the rows that ended with it."""
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

    def joined_by(self, other: "_Batch") -> "_Batch":
        """Both as one, without the rows that ended. Each has taken a step, and both have live rows."""
        self._retire(len(self.rows))
        other._retire(len(other.rows))
        assert self._tokens is not None and other._tokens is not None  # noqa: S101 — both took a step
        self.rows += other.rows
        self._tokens = torch.cat([self._tokens, other._tokens])
        self._order(cast(ContinuousStepper, self.stepper).join(cast(ContinuousStepper, other.stepper)))
        return self
