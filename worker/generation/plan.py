"""Which requests run together: batches under a token budget, of similar lengths if the engine pads.

Pure: knows lengths, limits and an engine's capabilities, nothing of requests or jobs.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, repeat

from worker.engine.protocol import Architecture, Capabilities

#: Fewer rows than this get no batch of their own. A decode step costs as much as ten to twenty further rows in it, or
#: as reading some twenty tokens. So a batch of a few rows would cost more than the padding that it saves.
_FEW_ROWS = 16


def planner(engine: Capabilities) -> Callable[[Sequence[int], int, int], list[list[int]]]:
    """Returns the function that plans batches for this engine. It takes lengths, batch tokens and batch rows."""
    if engine.is_packed:
        return pack
    return partial(plan, few_rows=_FEW_ROWS) if engine.architecture is Architecture.ENCODER_DECODER else plan


def plan(lengths: Sequence[int], batch_tokens: int, batch_rows: int, few_rows: int = 1) -> list[list[int]]:
    """Cuts requests into padded batches of at most ``batch_tokens`` (rows × longest) and ``batch_rows``.

    Longest first, for two reasons: a batch that does not fit the device fails at once rather than at the end, and the
    first row fixes the width, since the following ones are not longer. A row of less than half that width begins a new
    batch, because most of it would be padding; but if that batch would get fewer than ``few_rows`` rows, the row stays.
    A request longer than the budget runs alone. Returns indexes into ``lengths``, each exactly once.
    """
    batches: list[list[int]] = []
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    # For each row: the length of the last of ``few_rows`` rows that begin with it; 0 if there are fewer.
    enough = chain((lengths[index] for index in order[few_rows - 1 :]), repeat(0))
    for index, last in zip(order, enough, strict=False):
        batch = batches[-1] if batches else []
        width = lengths[batch[0]] if batch else 0
        fits = len(batch) < batch_rows and (len(batch) + 1) * width <= batch_tokens
        if batch and fits and (2 * lengths[index] >= width or 2 * last < lengths[index]):
            batch.append(index)
        else:
            batches.append([index])
    return batches


def pack(lengths: Sequence[int], batch_tokens: int, batch_rows: int) -> list[list[int]]:
    """Cuts requests into batches of at most ``batch_tokens`` in all, for an engine that does not pad."""
    batches: list[list[int]] = []
    total = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        total += lengths[index]
        if batches and len(batches[-1]) < batch_rows and total <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
            total = lengths[index]
    return batches
