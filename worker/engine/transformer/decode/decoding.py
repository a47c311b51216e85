"""The decoding loop: writes a token per row and step, and drops finished rows. Knows nothing of architectures."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, Self, cast

import torch

from worker.engine.protocol import Completion
from worker.engine.transformer.decode.sampling import choose
from worker.engine.transformer.decode.sequence import RunningSequence
from worker.engine.transformer.decode.vocabulary import Vocabulary

#: Finished rows are dropped once they are one in this many of all rows. Dropping copies the other rows' KV cache, and
#: on a GPU a new CUDA graph must be captured.
_DROP_ONE_IN, _GPU_DROP_ONE_IN = 8, 2


class Stepper(Protocol):
    """Runs one model on the rows of a batch: prefill, then decode steps."""

    def start(self) -> torch.Tensor:
        """Prefill: reads the inputs. Returns the logits of each row's first token, ``[rows, vocabulary]``."""
        ...

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """A decode step: adds one id to each row, ``[rows]``. Returns the next logits, ``[rows, vocabulary]``."""
        ...

    @property
    def token_bytes(self) -> int:
        """Bytes of keys and values for one input token, in all layers. Known after ``start``."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Keeps only these rows, in this order."""
        ...


class ContinuousStepper(Stepper, Protocol):
    """A stepper to which rows can be added (continuous batching)."""

    def join(self, other: Self) -> list[int]:
        """Adds the other stepper's rows behind these. Returns the new order of all rows."""
        ...


class DecodeLoop:
    """Rows that are decoded together, one token per step. ``begin`` makes a stepper for new rows.

    Rows may be added while others are live only if the steppers are ``ContinuousStepper``.
    """

    def __init__(self, begin: Callable[[Sequence[RunningSequence]], Stepper], vocabulary: Vocabulary) -> None:
        self._begin, self._vocabulary = begin, vocabulary
        self._added: list[RunningSequence] = []
        self._batch: _Batch | None = None

    @property
    def is_done(self) -> bool:
        return self._batch is None and not self._added

    def add(self, rows: Iterable[RunningSequence]) -> None:
        """Adds rows. The next step reads them."""
        self._added += rows

    def step(self) -> list[Completion]:
        """Reads added rows, then writes a token for every live row. Returns the completions of rows that finished."""
        finished = self._read() if self._added else []
        if self._batch is not None:
            finished += self._batch.advance()
            if not self._batch.is_live:
                self._batch = None
        return [row.completion() for row in finished]

    def _read(self) -> list[RunningSequence]:
        """Prefill of the added rows, which writes their first token. Returns the rows that finished with it."""
        added, self._added = self._added, []
        finished = [row for row in added if not row.is_live]
        if rows := [row for row in added if row.is_live]:
            fresh = _Batch(self._begin(rows), rows, self._vocabulary)
            finished += fresh.advance()
            if fresh.is_live:
                self._batch = fresh if self._batch is None else self._batch.merge(fresh)
        return finished


class _Batch:
    """A stepper and the state of its rows."""

    def __init__(self, stepper: Stepper, rows: Sequence[RunningSequence], vocabulary: Vocabulary) -> None:
        self.stepper, self.rows, self.vocabulary = stepper, list(rows), vocabulary
        self._tokens: torch.Tensor | None = None

    @property
    def is_live(self) -> bool:
        return any(row.is_live for row in self.rows)

    @torch.inference_mode()
    def advance(self) -> list[RunningSequence]:
        """Writes one token for every live row. Returns the rows that finished with it."""
        logits = self.stepper.start() if self._tokens is None else self.stepper.step(self._tokens)
        chosen = choose(logits, self.rows, self.vocabulary)
        pairs = zip(self.rows, chosen, strict=True)
        finished = [row for row, token in pairs if row.is_live and row.take(token)]
        self._tokens = torch.tensor(chosen, device=logits.device)
        self._drop_finished(_DROP_ONE_IN if logits.device.type == "cpu" else _GPU_DROP_ONE_IN)
        return finished

    def _drop_finished(self, one_in: int) -> None:
        live = [place for place, row in enumerate(self.rows) if row.is_live]
        if live and (len(self.rows) - len(live)) * one_in >= len(self.rows):
            self.stepper.keep(live)
            self._order(live)

    def _order(self, places: Sequence[int]) -> None:
        assert self._tokens is not None  # noqa: S101 — a step was taken
        self.rows = [self.rows[place] for place in places]
        self._tokens = self._tokens[torch.tensor(places, device=self._tokens.device)]

    def merge(self, other: "_Batch") -> "_Batch":
        """Adds the live rows of another batch, and drops finished ones. Both have live rows and took a step."""
        self._drop_finished(len(self.rows))
        other._drop_finished(len(other.rows))
        assert self._tokens is not None and other._tokens is not None  # noqa: S101 — both took a step
        self.rows += other.rows
        self._tokens = torch.cat([self._tokens, other._tokens])
        self._order(cast(ContinuousStepper, self.stepper).join(cast(ContinuousStepper, other.stepper)))
        return self
