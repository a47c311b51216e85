"""Defines the workloads: sequences of token ids of random lengths, each with the exact number of tokens to write.

It imports only the standard library, because the peers import it in their own environment.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

VOCABULARY = 32_000
#: Words have the ids from ``FIRST_WORD`` up to, and not including, ``PAD``.
FIRST_WORD, PAD = 8, VOCABULARY - 1
PREFIX_TOKENS = 200
#: The standard normal distribution's 99th percentile.
_P99 = 2.3263


class Size(NamedTuple):
    """Input tokens of an item without the shared prefix, and tokens to write."""

    n_input: int
    n_output: int


class WorkloadItem(NamedTuple):
    tokens: list[int]
    n_output: int


@dataclass(frozen=True)
class Workload:
    title: str
    #: ``marian`` or ``llama``.
    model: str
    sizes: Callable[[Random], Size]
    #: Leading tokens that all items share.
    n_prefix: int = 0

    def drawn(self, count: int) -> list[Size]:
        """Draws the sizes of ``count`` items. They are the same in every round."""
        random = Random(self.title)
        return [self.sizes(random) for _ in range(count)]

    def items(self, count: int, number: int) -> list[WorkloadItem]:
        """Returns the items of round ``number``. Words differ per round, so that no prompt cache helps."""
        random = Random(f"{self.title} {number}")
        prefix = _words(Random(self.title), self.n_prefix)
        return [WorkloadItem(prefix + _words(random, size.n_input), size.n_output) for size in self.drawn(count)]


def _lognormal(random: Random, median: float, p99: float, most: int) -> int:
    """Draws an integer from 1 to ``most`` with this median and 99th percentile."""
    return max(1, min(most, round(random.lognormvariate(math.log(median), math.log(p99 / median) / _P99))))


def _words(random: Random, count: int) -> list[int]:
    return [random.randrange(FIRST_WORD, PAD) for _ in range(count)]


def _translation(random: Random) -> Size:
    length = _lognormal(random, 25, 200, 400)
    return Size(length, max(1, round(length * random.uniform(1.0, 1.2))))


def _translation_through_the_system(random: Random) -> Size:
    length = _lognormal(random, 25, 200, 238)
    return Size(length, 2 * length + 32)  # the system's own limit for a translation that does not end


def _moderation(random: Random) -> Size:
    return Size(_lognormal(random, 120, 1000, 1500), 8)


def _chat(random: Random) -> Size:
    return Size(_lognormal(random, 120, 1000, 1500), _lognormal(random, 64, 400, 600))


WORKLOADS = {
    "w1": Workload("W1 translation", "marian", _translation),
    "share": Workload("Translation through the whole system", "marian", _translation_through_the_system),
    "w2": Workload("W2 moderation", "llama", _moderation, n_prefix=PREFIX_TOKENS),
    "w3": Workload("W3 chat", "llama", _chat),
}


def lengths(items: Sequence[WorkloadItem]) -> list[int]:
    return [len(item.tokens) for item in items]
