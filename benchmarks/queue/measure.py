"""Measures one job on one system, from the POST to the downloaded results, with the cost of each step."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from benchmarks.queue.client import Job
from benchmarks.queue.corpus import Corpus, texts
from benchmarks.queue.meter import MeteredCost
from benchmarks.queue.stack import BenchmarkStack

#: Items of an unmeasured job, which makes connections, prepares statements and imports modules.
_WARM_UP_ITEMS = 500


@dataclass(frozen=True)
class MeasuredJob:
    """One measured job. Every result was right."""

    items: int
    #: From before the POST until the last result was settled.
    seconds: float
    #: ``post`` lasts until the POST is answered, ``work`` until the client sees the job's end, then ``download``.
    steps: Mapping[str, MeteredCost]
    #: All steps together.
    cost: MeteredCost

    @property
    def items_per_second(self) -> float:
        return self.items / self.seconds

    def cpu_us_per_item(self, cost: MeteredCost | None = None) -> float:
        return (cost or self.cost).cpu_seconds / self.items * 1e6

    def parts_us_per_item(self) -> dict[str, float]:
        """Returns CPU time per item by process: api, worker, postgres, redis."""
        parts: dict[str, float] = {}
        for name, seconds in self.cost.cpu.items():
            part = name.partition("-")[0]
            part = "worker" if part in ("generate", "deliver") else part
            parts[part] = parts.get(part, 0.0) + seconds / self.items * 1e6
        return parts


def warm_up(stack: BenchmarkStack) -> None:
    folder = stack.bench.folder
    run(stack, Corpus.write(texts(_WARM_UP_ITEMS, seed=0), folder / "warm-up.ndjson"))


def run(stack: BenchmarkStack, corpus: Corpus, watch: Callable[[Job], None] = lambda _: None) -> MeasuredJob:
    """Measures one job. Raises ``WrongResults``."""
    client, meter = stack.client(), stack.meter()
    results = stack.bench.folder / "results.ndjson"
    stack.bench.settle_down()
    before, began = meter.read(), time.time()
    job_id = client.submit(corpus.body)
    posted = meter.read()
    job = client.wait(job_id, watch)
    ended = meter.read()
    client.download(job_id, results)
    after = meter.read()
    seconds = datetime.fromisoformat(job["finished_at"]).timestamp() - began
    steps = {
        "post": MeteredCost.between(before, posted),
        "work": MeteredCost.between(posted, ended),
        "download": MeteredCost.between(ended, after),
    }
    return MeasuredJob(corpus.check(results), seconds, steps, MeteredCost.between(before, after))
