"""Measures the memory of a generation worker over many small items: ``python -m benchmarks.worker_memory``.

It runs a whole installation on the demo's models, submits one job of small texts after the other, reads their results,
and notes the resident memory of the worker's process, which holds the engine. All texts differ, so that every cache
fills and evicts. After the warm-up, memory should stay flat: the last line says by how much it grew.
"""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.queue import stack
from lengthwise.client import Client

CATALOG = Path(__file__).parents[1] / "lengthwise" / "demo" / "models.toml"
#: The kind and parameters of a job, and words of which its texts are made.
_JOBS: tuple[tuple[str, dict[str, Any], str, str], ...] = (
    ("moderate", {}, " ", "you|are|a kind|awful|lovely|person|and|this|is what|they|said|about|it"),
    (
        "translate",
        {"source": "zh", "target": "en"},
        "",
        "我|你|他|吃了|一个|苹果|买|书|看|今天|很|好|大|小|红|猫",
    ),
)


class Sample(NamedTuple):
    """The worker's memory once so many items were done."""

    seconds: float
    n_items: int
    resident_kb: int
    anonymous_kb: int


def texts(n_items: int, joint: str, words: Sequence[str], seed: int) -> Iterator[str]:
    """Texts of 3 to 12 words."""
    draw = random.Random(seed)
    for _ in range(n_items):
        yield joint.join(draw.choices(words, k=draw.randint(3, 12)))


def sample(pid: int, seconds: float, n_items: int) -> Sample:
    """Reads the memory of a process from ``/proc``."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    found = {words[0]: int(words[1]) for words in lines if words[0] in ("VmRSS:", "RssAnon:")}
    return Sample(seconds, n_items, found["VmRSS:"], found["RssAnon:"])


def engine_process(worker: int) -> int:
    """Celery's process that runs the tasks of this worker."""
    [child] = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    return int(child)


def growth(samples: list[Sample]) -> float:
    """By what share the median memory of the last tenth exceeds that of the first tenth."""
    width = max(1, len(samples) // 10)
    first, last = (median(each.resident_kb for each in part) for part in (samples[:width], samples[-width:]))
    return last / first - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000, help="items in all")
    parser.add_argument("--job-items", type=int, default=5_000, help="items of one job")
    parser.add_argument("--seconds", type=float, default=3_600, help="stop after this time")
    parser.add_argument("--warm-up", type=int, default=100_000, help="items before the growth is measured")
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds between two jobs, to leave other work a share"
    )
    given = parser.parse_args()
    with stack.bench() as servers, stack.ours(servers, CATALOG) as system:
        worker = next(child.pid for child in system.children if child.name == "generate-1" and child.pid)
        pid = engine_process(worker)
        samples: list[Sample] = []
        began, done = time.monotonic(), 0
        with Client(f"http://127.0.0.1:{system.port}", system.key) as client:
            while done < given.items and time.monotonic() - began < given.seconds:
                kind, params, joint, words = _JOBS[len(samples) % len(_JOBS)]
                job = client.submit(texts(given.job_items, joint, words.split("|"), len(samples)), kind=kind, **params)
                n_results = sum(1 for _ in job.results())
                if n_results != given.job_items:
                    raise SystemExit(f"a job of {given.job_items} items had {n_results} results")
                job.delete()
                done += n_results
                samples.append(sample(pid, time.monotonic() - began, done))
                print(*(f"{name} {value:,.0f}" for name, value in samples[-1]._asdict().items()), flush=True)
                time.sleep(given.pause)
    warm = [each for each in samples if each.n_items > given.warm_up]
    print(f"{done:,} items; after the warm-up {growth(warm):+.2%}" if warm else "the warm-up was not over")


if __name__ == "__main__":
    main()
