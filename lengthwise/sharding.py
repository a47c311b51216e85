"""Cuts a chunk of items into shards. Items are sorted by length; a shard ends where the length band changes or where it
is full, that is at the limit of items of a shard or of tokens of an engine batch.

Pure: knows token counts and nothing else.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Shard:
    """Items at positions ``lo ≤ pos < hi`` of a job, all in one bucket. ``n_tokens`` is the sum of their tokens."""

    lo: int
    hi: int
    bucket: int
    n_tokens: int


def bucket_of(n_tokens: int) -> int:
    """The band of lengths to which a text belongs. Bands end at 8, 12, 16, 24, 32, 48, … tokens.

    Within a band the longest text has at most 1.5 times the tokens of the shortest, so that an unsorted batch of them
    wastes a fifth on average. With two bands per octave, buckets stay full enough to batch small jobs.
    """
    if n_tokens <= 8:
        return 0
    octave = (n_tokens - 1).bit_length() - 1
    return 2 * (octave - 3) + (1 if n_tokens <= 3 << (octave - 1) else 2)


def longest_of(bucket: int) -> int:
    """The most tokens of a text in this band."""
    return (12 if bucket % 2 else 8) << (bucket // 2)


def cut(lengths: Sequence[int], first: int, shard_items: int, batch_tokens: int) -> tuple[list[int], list[Shard]]:
    """Sorts one chunk by length and cuts it into shards of at most ``shard_items`` and, padded, ``batch_tokens``.

    An item that is longer than that has a shard of its own. Returns the indexes of ``lengths`` in the order in which
    they take the positions ``first``, ``first + 1``, …, and the shards over those positions.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    in_order = [lengths[index] for index in order]
    shards: list[Shard] = []
    start = 0
    while start < len(order):
        bucket = bucket_of(in_order[start])
        end = bisect_right(in_order, bucket, start, min(start + shard_items, len(order)), key=bucket_of)
        while end - start > 1 and (end - start) * in_order[end - 1] > batch_tokens:
            end -= 1
        shards.append(Shard(first + start, first + end, bucket, sum(in_order[start:end])))
        start = end
    return order, shards


def start_tags(shards: Sequence[Shard], start: float, weight: float) -> list[float]:
    """Each shard's tag by start-time fair queueing (Goyal, Vin, Cheng, 1996), then the tag at which the last one ends.

    ``start`` is the later of the queue's virtual time and the tenant's last finish.
    """
    return list(accumulate((shard.n_tokens / weight for shard in shards), initial=start))


class ArrivalOrder:
    """Counts what batches in order of arrival would compute under the same limits: the figure that sorting improves."""

    def __init__(self, batch_tokens: int, batch_rows: int) -> None:
        self.batch_tokens = batch_tokens
        self._batch_rows = batch_rows
        self._rows = 0
        self._longest = 0
        self._closed = 0

    def add(self, lengths: Iterable[int]) -> None:
        """Adds sequences of these lengths in tokens, in order of arrival."""
        rows, longest = self._rows, self._longest
        for n_tokens in lengths:
            padded = max(longest, n_tokens)
            if rows and (rows == self._batch_rows or (rows + 1) * padded > self.batch_tokens):
                self._closed += rows * longest
                rows, padded = 0, n_tokens
            rows += 1
            longest = padded
        self._rows, self._longest = rows, longest

    @property
    def padded(self) -> int:
        """Input tokens computed so far, with padding."""
        return self._closed + self._rows * self._longest
