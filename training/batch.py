"""Batches of like length: examples are drawn ahead, sorted, cut at a token budget and shuffled as whole batches.

Padding would otherwise be most of the work, since texts are 3 to 200 tokens long.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from random import Random
from typing import TypeVar

import torch

T = TypeVar("T")

#: Examples drawn ahead and sorted together.
AHEAD = 6000


def bucketed(examples: Iterable[T], length: Callable[[T], int], budget: int, seed: int) -> Iterator[list[T]]:
    """Endless batches of at most ``budget`` padded tokens."""
    rng = Random(seed)
    stream = iter(examples)
    while True:
        batches: list[list[T]] = [[]]
        for example in sorted(islice(stream, AHEAD), key=length):
            # Sorted upwards, so the newest is the longest and sets the padding.
            if batches[-1] and (len(batches[-1]) + 1) * length(example) > budget:
                batches.append([])
            batches[-1].append(example)
        rng.shuffle(batches)
        yield from batches


def padded(rows: list[list[int]], value: int) -> torch.Tensor:
    """``[rows, longest]`` int64, filled up at the right."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])
