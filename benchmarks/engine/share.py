"""Measures the share of the engine's speed that the whole system reaches.

The same items go through API, PostgreSQL, Redis and worker, and through the bare engine.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from time import time

from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.child_program import SystemFailure
from benchmarks.engine import model
from benchmarks.engine.compare import OURS, SYSTEMS
from benchmarks.engine.ours import Int8System
from benchmarks.engine.process import running
from benchmarks.engine.workload import VOCABULARY, WORKLOADS, WorkloadItem
from benchmarks.queue.stack import BenchmarkServers, BenchmarkStack, ours

WORKLOAD = "share"
_WARM_UP_ITEMS = 64
_CATALOG = f"""\
[models.marian]
path = "marian"
batch_tokens = {Int8System.batch_tokens["marian"]}
batch_rows = {Int8System.batch_rows}
[models.marian.translate]
pairs = [["en", "de"]]
unit = "text"
"""
_JOB = {"kind": "translate", "source": "en", "target": "de"}


@dataclass(frozen=True)
class Share:
    """Items per second, one figure per round."""

    system: Sequence[float]
    engine: Sequence[float]

    @property
    def ratio(self) -> float:
        return median(system / engine for system, engine in zip(self.system, self.engine, strict=True))


def measure_share(bench: BenchmarkServers, count: int, rounds: int, python: Path, say: Callable[[str], None]) -> Share:
    """Measures both in turns. Raises ``SystemFailure`` if an output does not have the requested length."""
    path = model.write(WORKLOADS[WORKLOAD].model, bench.folder)
    catalog = _write_catalog(path)
    system, engine = [], []
    with (
        running(OURS, SYSTEMS[OURS].place, WORKLOAD, path, python) as bare,
        ours(bench, catalog, extra={"LENGTHWISE_THREADS": "1"}) as stack,
    ):
        _through(stack, WORKLOADS[WORKLOAD].items(min(count, _WARM_UP_ITEMS), 0))
        for number in range(1, rounds + 1):
            engine.append(bare.items_per_second(count, number))
            system.append(_through(stack, WORKLOADS[WORKLOAD].items(count, number)))
            say(f"round {number}: the engine {engine[-1]:.2f} items/s, the system {system[-1]:.2f}")
    return Share(system, engine)


def _write_catalog(path: Path) -> Path:
    """Writes a catalog and a tokenizer. Every word is one token, and the word's number is the token's id."""
    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(path / "tokenizer.json"))
    catalog = path.parent / "models.toml"
    catalog.write_text(_CATALOG)
    return catalog


def _through(stack: BenchmarkStack, items: Sequence[WorkloadItem]) -> float:
    """Returns items per second, from before the POST until the last result is settled."""
    client, body, results = stack.client(), stack.bench.folder / "job.ndjson", stack.bench.folder / "results.ndjson"
    texts = [" ".join(f"w{token}" for token in item.tokens) for item in items]
    body.write_text("".join(f"{json.dumps(line)}\n" for line in [_JOB, *({"text": text} for text in texts)]))
    began = time()
    job_id = client.submit(body)
    ended = datetime.fromisoformat(client.wait(job_id)["finished_at"]).timestamp()
    client.download(job_id, results)
    written = [json.loads(line)["usage"]["output_tokens"] for line in results.read_text().splitlines()]
    if written != [item.n_output for item in items]:
        raise SystemFailure("the system's outputs do not have the requested lengths")
    return len(items) / (ended - began)
