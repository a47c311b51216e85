"""Measures a job as it would be written. The items take the same way as those of a submission, up to the ledger."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

from api.intake.counting import CountedPortion, counted
from api.intake.intake import arrival_order
from api.jobs.accept import FirstRefusal, portions, require_one_that_runs
from api.jobs.order import Order
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.ledger.jobs.arrangement import Arrangement
from lengthwise.models.catalog import ModelSpec
from lengthwise.settings import Settings


class JobSize(NamedTuple):
    """What the caller says: how many items the whole job has, and how many of those that were sent are to be read.

    Without the first, the job has the items that were sent. Without the second, all of them are read.
    """

    n_items: int | None = None
    sample: int | None = None


@dataclass(frozen=True, slots=True)
class JobMeasure:
    """A job's figures. If fewer than ``n_items`` were measured, they are in proportion to those that were."""

    n_items: int
    n_measured: int
    n_failing: int
    n_tokens: int
    n_shards: int
    #: Input tokens with padding, of batches in order of length and in order of arrival.
    n_padded: int
    n_arrival_padded: int


def measure(order: Order, raws: Iterable[Any], size: JobSize, current: Settings) -> JobMeasure:
    """Reads the items, in memory for one chunk of them. Raises ``InvalidInput`` as a submission does."""
    remaining = iter(raws)
    measuring = _Measuring(order.target.spec, current)
    taken = remaining if size.sample is None else islice(remaining, size.sample)
    for portion in portions(order, taken, current):
        for part in counted(portion, FirstRefusal().add):
            measuring.add(part)
    n_sent = measuring.n_items + sum(1 for _ in islice(remaining, current.max_items))
    if n_sent > current.max_items:
        raise TooLarge(f"a job may have at most {current.max_items} items", "items")
    n_items = n_sent if size.n_items is None else size.n_items
    if n_items < n_sent:
        raise InvalidInput("must be at least the number of items that were sent", "n_items")
    found = measuring.finish(n_items)
    if found.n_measured == n_items:
        require_one_that_runs(order, found.n_measured, found.n_failing)
    return found


class _Measuring:
    """The items of one job, whose shards are cut and whose payloads are dropped."""

    def __init__(self, spec: ModelSpec, current: Settings) -> None:
        self._spec, self._settings = spec, current
        self._arrangement: Arrangement | None = None
        #: By pool, how many sequences there are of each length.
        self._lengths: dict[str, Counter[int]] = {}

    @property
    def n_items(self) -> int:
        found = self._arrangement
        return 0 if found is None else found.n_items + len(found.waiting)

    def add(self, portion: CountedPortion) -> None:
        arrangement = self._arranging(portion.pools)
        for item in portion.items:
            if item.refusal is None:
                lengths = self._lengths.setdefault(item.pool or arrangement.pool, Counter())
                lengths.update(item.lengths or (item.n_tokens,))
        for _ in arrangement.add(portion.items):
            pass

    def _arranging(self, names: set[str]) -> Arrangement:
        found = self._arrangement
        if found is None:
            first, current = min(names), self._settings
            sizes = (current.shard_items, current.chunk_items, current.chunk_bytes)
            found = self._arrangement = Arrangement(first, arrival_order(first, self._spec), *sizes)
        for pool in names - {found.pool} - found.arrivals.keys():
            found.arrivals[pool] = arrival_order(pool, self._spec)
        return found

    def finish(self, n_items: int) -> JobMeasure:
        """The figures of a job of so many items. Raises ``LookupError`` where no item was added."""
        found = self._arrangement
        if found is None:
            raise LookupError("a job has at least one item")
        found.rest()
        n_measured = found.n_items

        def whole(figure: int) -> int:
            return -(-figure * n_items // n_measured)

        return JobMeasure(
            n_items,
            n_measured,
            whole(found.n_refused),
            whole(found.n_tokens),
            whole(sum(map(len, found.shards.values()))),
            whole(sum(self._padded(pool, lengths) for pool, lengths in self._lengths.items())),
            whole(found.n_arrival_padded),
        )

    def _padded(self, pool: str, lengths: Counter[int]) -> int:
        in_order = arrival_order(pool, self._spec)
        in_order.add(chain.from_iterable(repeat(length, number) for length, number in sorted(lengths.items())))
        return in_order.padded
