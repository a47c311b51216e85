"""Which requests run together: batches under a token budget, of like length where an engine pads.

Pure: knows lengths and limits, nothing of requests, engines or jobs.
"""

from collections.abc import Sequence


def plan(lengths: Sequence[int], batch_tokens: int, batch_rows: int) -> list[list[int]]:
    """Cuts requests into padded batches of at most ``batch_tokens`` (rows × longest) and ``batch_rows``.

    Longest first, for two reasons: a batch that does not fit the device fails at once rather than at the end, and the
    rows that follow can only be shorter, so that the first row fixes the width. A row of less than half that width
    begins a batch of its own: most of it would be padding. A request longer than the budget runs alone. Returns
    indexes into ``lengths``, each exactly once.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        batch = batches[-1] if batches else []
        width = lengths[batch[0]] if batch else 0
        fits = len(batch) < batch_rows and (len(batch) + 1) * width <= batch_tokens
        if batch and fits and 2 * lengths[index] >= width:
            batch.append(index)
        else:
            batches.append([index])
    return batches


def pack(lengths: Sequence[int], batch_tokens: int, batch_rows: int) -> list[list[int]]:
    """The same for an engine that does not pad: batches of at most ``batch_tokens`` in all, of whatever lengths."""
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
