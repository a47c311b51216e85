"""Lets two workers share one job of two length buckets, and records when each worker was busy or idle."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.queue import engine, measure, stack
from benchmarks.queue.corpus import Corpus, two_lengths, write_catalog
from benchmarks.queue.engine import TracedBatch
from benchmarks.queue.stack import BenchmarkServers

#: A fast engine. For comparison: the demo's translation model takes half a second for 64 texts.
BATCH_SECONDS = 0.1
#: Batches up to this width come from the bucket of short texts.
SHORT_WIDTH = 32


@dataclass(frozen=True)
class Sharing:
    """The batches of each worker, in order of time."""

    workers: list[list[TracedBatch]]

    @property
    def idle_shares(self) -> list[float]:
        """Each worker's share of the time without a batch, from the start of the first batch to the end of the last."""
        began = min(batches[0].began for batches in self.workers)
        ended = max(batches[-1].ended for batches in self.workers)
        busy = [sum(batch.ended - batch.began for batch in batches) for batches in self.workers]
        return [1 - seconds / (ended - began) for seconds in busy]

    @property
    def longest_gap_ms(self) -> float:
        """The longest time between two batches of one worker."""
        gaps = [later.began - earlier.ended for batches in self.workers for earlier, later in pairwise(batches)]
        return max(gaps, default=0.0) * 1000


def share(bench: BenchmarkServers, items: int) -> Sharing:
    """Runs the job and reads the trace. Raises ``RuntimeError`` if one worker did all the work."""
    trace = bench.folder / "sharing.trace"
    extra = engine.install(bench.folder / "sharing-engine", trace)
    catalog = write_catalog(bench.folder / "sharing", BATCH_SECONDS, engine.TRACED)
    with stack.ours(bench, catalog, workers=2, extra=extra) as running:
        measure.warm_up(running)
        trace.write_text("")
        corpus = Corpus.write(two_lengths(items, seed=1), bench.folder / "job.ndjson")
        measure.run(running, corpus)
    return Sharing(_by_worker(trace))


def _by_worker(trace: Path) -> list[list[TracedBatch]]:
    batches = sorted(engine.read(trace), key=lambda batch: batch.began)
    pids = sorted({batch.pid for batch in batches})
    if len(pids) != 2:
        raise RuntimeError(f"only {len(pids)} of two workers took part in the job")
    return [[batch for batch in batches if batch.pid == pid] for pid in pids]
