"""How a job's items become shards while they arrive: chunk by chunk, sorted by length. Memory holds one chunk of items.

It writes nothing and reads no table. A submission writes the chunks, and an estimate counts them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from lengthwise.sharding import ArrivalOrder, Shard, cut


class NewItem(NamedTuple):
    """One item, ready to be stored."""

    n_tokens: int
    payload: bytes
    #: The result line of an item that is known to fail already.
    refusal: bytes | None = None
    #: Tokens of each sequence that the engine computes, if the item has more than one.
    lengths: Sequence[int] = ()
    #: Its own pool, if that is not the job's; then it is a key of ``Arrangement.arrivals``.
    pool: str | None = None


@dataclass(slots=True)
class Chunk:
    """Items in the caller's order, stored by column: ten thousand objects would be slow to garbage-collect."""

    n_tokens: list[int] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    n_bytes: int = 0
    #: By the item's place in the chunk: results of items that fail already, and pools that are not the job's.
    refusals: dict[int, bytes] = field(default_factory=dict)
    pools: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.payloads)


class ArrangedChunk(NamedTuple):
    """A whole chunk. Its items have the positions and the indexes ``first``, ``first + 1``, …

    ``order`` gives the place in the chunk of the item at each position: the items of each pool, sorted by length, and
    at the end those that were refused.
    """

    first: int
    order: list[int]
    chunk: Chunk


@dataclass
class Arrangement:
    """The shards of one job. ``add`` items in the caller's order, and call ``rest`` at the end.

    An item's position and its index are in the same chunk of ``chunk_items``. A chunk of more than ``chunk_bytes`` is
    sorted in several parts, so that memory does not grow with long items.
    """

    #: The pool of items that name none.
    pool: str
    arrival: ArrivalOrder
    shard_items: int
    chunk_items: int
    chunk_bytes: int
    #: By pool, for other pools.
    arrivals: dict[str, ArrivalOrder] = field(default_factory=dict)
    n_items: int = 0
    n_refused: int = 0
    #: Of the items that were not refused.
    n_tokens: int = 0
    #: By pool.
    shards: dict[str, list[Shard]] = field(default_factory=dict)
    #: The items that wait for their chunk to be whole.
    waiting: Chunk = field(default_factory=Chunk)

    def add(self, items: Sequence[NewItem]) -> Iterator[ArrangedChunk]:
        """Takes items. Gives each chunk once it is whole; the items behind it are taken when the next one is asked."""
        while items:
            chunk = self.waiting
            room = self.chunk_items - (self.n_items + len(chunk)) % self.chunk_items
            taken = items[:room]
            refusals = {at: item.refusal for at, item in enumerate(taken, len(chunk)) if item.refusal is not None}
            chunk.refusals |= refusals
            chunk.n_tokens += [item.n_tokens for item in taken]
            runnable = [item for item in taken if item.refusal is None] if refusals else taken
            if self.arrivals:
                chunk.pools |= {at: item.pool for at, item in enumerate(taken, len(chunk)) if item.pool is not None}
                for item in runnable:
                    self._arrival_of(item.pool or self.pool).add(item.lengths or (item.n_tokens,))
            else:
                self.arrival.add(chain.from_iterable([item.lengths or (item.n_tokens,) for item in runnable]))
            chunk.payloads += [item.payload for item in taken]
            chunk.n_bytes += sum(len(item.payload) for item in taken)
            if len(taken) == room or chunk.n_bytes >= self.chunk_bytes:
                yield self._arranged()
            items = items[len(taken) :]

    def rest(self) -> ArrangedChunk | None:
        """The last chunk; None if it has no item."""
        return self._arranged() if len(self.waiting) else None

    @property
    def n_arrival_padded(self) -> int:
        """Input tokens with padding that batches in order of arrival would compute."""
        return sum(each.padded for each in ({self.pool: self.arrival} | self.arrivals).values())

    def _arranged(self) -> ArrangedChunk:
        chunk, first = self.waiting, self.n_items
        self.waiting = Chunk()
        runnable = [at for at in range(len(chunk)) if at not in chunk.refusals]
        placed: list[int] = []
        for pool, same in _by_pool(runnable, chunk.pools, self.pool):
            lengths, start = [chunk.n_tokens[at] for at in same], first + len(placed)
            order, shards = cut(lengths, start, self.shard_items, self._arrival_of(pool).batch_tokens)
            placed += [same[at] for at in order]
            self.shards.setdefault(pool, []).extend(shards)
            self.n_tokens += sum(shard.n_tokens for shard in shards)
        self.n_items += len(chunk)
        self.n_refused += len(chunk.refusals)
        return ArrangedChunk(first, [*placed, *chunk.refusals], chunk)

    def _arrival_of(self, pool: str) -> ArrivalOrder:
        return self.arrival if pool == self.pool else self.arrivals[pool]


def _by_pool(places: list[int], pools: Mapping[int, str], default: str) -> Iterable[tuple[str, list[int]]]:
    """The places of each pool's items, in order."""
    if not pools:
        return [(default, places)] if places else []
    found: dict[str, list[int]] = {}
    for at in places:
        found.setdefault(pools.get(at, default), []).append(at)
    return found.items()
