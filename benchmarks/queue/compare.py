"""Measures three systems in turns on the same texts: lengthwise, one Celery task per item, and celery-batches."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from benchmarks.queue import measure, stack
from benchmarks.queue.baseline.configuration import BATCHES, ONE
from benchmarks.queue.corpus import Corpus, texts
from benchmarks.queue.measure import MeasuredJob
from benchmarks.queue.stack import BenchmarkServers, BenchmarkStack

OURS = "lengthwise"
NO_BATCHES = "celery-batches is not installed: make bench-queue installs it"

Say = Callable[[str], None]


@dataclass
class QueueComparison:
    """Each system's measured jobs by its name, one per round."""

    runs: dict[str, list[MeasuredJob]] = field(default_factory=dict)

    def figure(self, name: str, of: Callable[[MeasuredJob], float]) -> float | None:
        return median(map(of, self.runs[name])) if name in self.runs else None

    def ratio(self, name: str) -> float | None:
        """Returns its CPU time per item divided by ours: the median over the rounds."""
        if name not in self.runs:
            return None
        pairs = zip(self.runs[name], self.runs[OURS], strict=True)
        return median(theirs.cpu_us_per_item() / own.cpu_us_per_item() for theirs, own in pairs)


def compare(
    bench: BenchmarkServers, catalog: Path, rounds: int, items: int, baseline_items: int, say: Say
) -> QueueComparison:
    """Interleaves the systems: each round starts, warms up, measures and stops every one."""
    systems: list[tuple[str, int, Callable[[], AbstractContextManager[BenchmarkStack]]]] = [
        (OURS, items, partial(stack.ours, bench, catalog)),
        (ONE, baseline_items, partial(stack.baseline, bench, ONE, catalog)),
    ]
    if find_spec("celery_batches"):
        systems.append((BATCHES, baseline_items, partial(stack.baseline, bench, BATCHES, catalog)))
    found = QueueComparison()
    for number in range(1, rounds + 1):
        drawn = texts(max(items, baseline_items), seed=number)
        for name, count, start in systems:
            say(f"round {number} of {rounds}: {name}, {count:,} items")
            found.runs.setdefault(name, []).append(_once(bench, start, drawn[:count]))
    return found


def _once(
    bench: BenchmarkServers, start: Callable[[], AbstractContextManager[BenchmarkStack]], drawn: Sequence[str]
) -> MeasuredJob:
    corpus = Corpus.write(drawn, bench.folder / "job.ndjson")
    with start() as running:
        measure.warm_up(running)
        return measure.run(running, corpus)
