"""Which requests run together: batches of like length under a token budget.

Pure: knows lengths and limits, nothing of requests, engines or jobs.
"""

from collections.abc import Sequence


def plan(lengths: Sequence[int], batch_tokens: int, batch_rows: int) -> list[list[int]]:
    """Cuts requests into padded batches of at most ``batch_tokens`` (rows × longest) and ``batch_rows``.

    Longest first, for two reasons: a batch that does not fit the device fails at once rather than at the end, and the
    rows that follow can only be shorter, so that the first row fixes the width. A request longer than the budget
    runs alone. Returns indexes into ``lengths``, each exactly once.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        batch = batches[-1] if batches else []
        fits = batch and len(batch) < batch_rows and (len(batch) + 1) * lengths[batch[0]] <= batch_tokens
        if fits:
            batch.append(index)
        else:
            batches.append([index])
    return batches
