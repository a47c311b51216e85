"""Measures how long a caller waits for a one-item job while an older, large job of the same tenant runs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from pydantic_core import from_json

from benchmarks.queue import engine, measure, stack
from benchmarks.queue.client import BenchmarkClient
from benchmarks.queue.corpus import Corpus, WrongResults, reversed_words, texts, write_catalog
from benchmarks.queue.meter import MeteredCost
from benchmarks.queue.stack import BenchmarkServers, BenchmarkStack

BATCH_SECONDS = 0.01

Say = Callable[[str], None]


@dataclass(frozen=True)
class Latency:
    """Milliseconds from before the POST until the caller has the result, by the one-item job's priority."""

    samples: dict[str, list[float]]
    engine_batch_ms: float
    #: The share of the core that other programs used during the measurement.
    others_share: float

    def p50(self, priority: str) -> float:
        return median(self.samples[priority])

    def p95(self, priority: str) -> float:
        """Needs at least two samples."""
        return quantiles(self.samples[priority], n=20, method="inclusive")[-1]


def measure_latency(bench: BenchmarkServers, neighbours: int, jobs: int, say: Say) -> Latency:
    """Submits ``jobs`` one-item jobs for each priority, one after the other, beside a job of ``neighbours`` items.

    One-item jobs with the large job's own priority may have to wait for it. Then there are fewer samples, at least two.
    """
    trace = bench.folder / "latency.trace"
    extra = engine.install(bench.folder / "latency-engine", trace)
    catalog = write_catalog(bench.folder / "latency", BATCH_SECONDS, engine.TRACED)
    large = Corpus.write(texts(neighbours, seed=1), bench.folder / "large.ndjson")
    samples = {}
    with stack.ours(bench, catalog, extra=extra) as running:
        measure.warm_up(running)
        meter = running.meter()
        before = meter.read()
        for priority in ("interactive", "normal"):
            say(f"one-item jobs, {priority}, beside {neighbours:,} items")
            samples[priority] = _beside(running, large, texts(jobs, seed=2), priority)
        cost = MeteredCost.between(before, meter.read())
    batches = [batch.ended - batch.began for batch in engine.read(trace)]
    return Latency(samples, median(batches) * 1000, cost.others_share)


def _beside(running: BenchmarkStack, large: Corpus, small: Sequence[str], priority: str) -> list[float]:
    client = running.client()
    samples: list[float] = []
    job_id = client.submit(large.body)
    for text in small:
        is_beside = client.job(job_id)["finished_at"] is None
        if not is_beside and len(samples) >= 2:
            break
        if not is_beside:
            job_id = client.submit(large.body)
        samples.append(_one(client, text, priority) * 1000)
    client.cancel(job_id)
    return samples


def _one(client: BenchmarkClient, text: str, priority: str) -> float:
    """Returns the seconds from before the POST to the result."""
    began = time.perf_counter()
    job_id = client.submit_one(text, priority)
    line = client.results(job_id, wait=60)
    seconds = time.perf_counter() - began
    if from_json(line).get("output", {}).get("text") != reversed_words(text):
        raise WrongResults("the answer of a one-item job is not its text reversed")
    return seconds
