"""Makes batches of similar length: draws examples ahead, sorts them, cuts at a token budget and shuffles the batches.

Texts are 3 to 200 tokens long, so without sorting most of the work would be padding.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from random import Random
from typing import TypeVar

import torch

T = TypeVar("T")

#: How many examples are drawn ahead and sorted together.
AHEAD = 6000


def bucketed(examples: Iterable[T], length: Callable[[T], int], budget: int, seed: int) -> Iterator[list[T]]:
    """Yields batches of at most ``budget`` tokens, padding included, without end."""
    rng = Random(seed)
    stream = iter(examples)
    while True:
        batches: list[list[T]] = [[]]
        for example in sorted(islice(stream, AHEAD), key=length):
            # Lengths ascend, so the newest example is the longest and sets the padded length.
            if batches[-1] and (len(batches[-1]) + 1) * length(example) > budget:
                batches.append([])
            batches[-1].append(example)
        rng.shuffle(batches)
        yield from batches


def padded(rows: list[list[int]], value: int) -> torch.Tensor:
    """Returns an int64 tensor ``[rows, longest]``, padded on the right with ``value``."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])
