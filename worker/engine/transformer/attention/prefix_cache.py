"""The prefix cache: keys and values of what many prompts begin with, kept from batch to batch within a memory bound."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile

from worker.engine.transformer.attention.kv_past import CHUNK
from worker.engine.transformer.attention.kv_slots import PrefixKV

_MAX_BYTES = 256 * 2**20


class PrefixCache:
    """The cached prefixes of one model, 256 MiB by default. The least recently used prefix is evicted first."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._cached: OrderedDict[tuple[int, ...], list[PrefixKV]] = OrderedDict()

    def longest(self, tokens: Sequence[int]) -> tuple[int, list[PrefixKV]]:
        """The longest cached prefix of ``tokens``: its length and its layers, or 0 and no layers."""
        matching = (prefix for prefix in self._cached if tuple(tokens[: len(prefix)]) == prefix)
        found = max(matching, key=len, default=())
        if not found:
            return 0, []
        self._cached.move_to_end(found)
        return len(found), self._cached[found]

    def put(self, tokens: Sequence[int], layers: list[PrefixKV]) -> None:
        """Caches these layers; evicts others, or the new prefix itself, until all fit the bound."""
        self._cached[tuple(tokens)] = layers
        self._bytes += _bytes_of(layers)
        while self._bytes > self._max_bytes:
            _, oldest = self._cached.popitem(last=False)
            self._bytes -= _bytes_of(oldest)


def shared_prefix_length(prompts: Sequence[Sequence[int]]) -> int:
    """The number of tokens, in whole chunks, that all prompts begin with; at least one token of each prompt is left."""
    columns = zip(*prompts, strict=False)
    n_equal = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return min(n_equal, min(map(len, prompts)) - 1) // CHUNK * CHUNK


def _bytes_of(layers: Sequence[PrefixKV]) -> int:
    return sum(part.numel() * part.element_size() for layer in layers for part in layer)
