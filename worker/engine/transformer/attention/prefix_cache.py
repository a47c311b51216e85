"""What many prompts begin with, read once: its keys and values, kept from batch to batch within a memory bound."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile

from worker.engine.transformer.attention.kv_past import CHUNK
from worker.engine.transformer.attention.kv_slots import PrefixKV

_MAX_BYTES = 256 * 2**20


class PrefixCache:
    """Of one model. The one used longest ago makes room."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[tuple[int, ...], list[PrefixKV]] = OrderedDict()

    def longest(self, tokens: Sequence[int]) -> tuple[int, list[PrefixKV]]:
        """Of the known prefixes that ``tokens`` begin with, or are, the longest: its length, and its layers."""
        known = (prefix for prefix in self._known if tuple(tokens[: len(prefix)]) == prefix)
        found = max(known, key=len, default=())
        if not found:
            return 0, []
        self._known.move_to_end(found)
        return len(found), self._known[found]

    def put(self, tokens: Sequence[int], layers: list[PrefixKV]) -> None:
        self._known[tuple(tokens)] = layers
        self._bytes += _bytes_of(layers)
        while self._bytes > self._max_bytes:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= _bytes_of(oldest)


def shared_prefix_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens, in whole chunks, all these begin with; each has at least one more."""
    columns = zip(*prompts, strict=False)
    n_equal = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return min(n_equal, min(map(len, prompts)) - 1) // CHUNK * CHUNK


def _bytes_of(layers: Sequence[PrefixKV]) -> int:
    return sum(part.numel() * part.element_size() for layer in layers for part in layer)
