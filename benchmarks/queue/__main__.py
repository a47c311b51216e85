"""Runs the queue benchmark: ``python -m benchmarks.queue``. The last line printed is one JSON object."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.console import begun
from benchmarks.core import one_core
from benchmarks.queue import report, stack
from benchmarks.queue.compare import compare
from benchmarks.queue.corpus import write_catalog
from benchmarks.queue.growth import grow
from benchmarks.queue.latency import measure_latency
from benchmarks.queue.sharing import share

PARTS = ["compare", "growth", "latency", "sharing"]
QUICK = {
    "rounds": 1,
    "items": 5000,
    "baseline_items": 500,
    "growth": [1000, 10_000],
    "neighbours": 20_000,
    "one_item_jobs": 30,
    "shared_items": 2000,
}


@dataclass(frozen=True)
class QueueBenchmarkOptions:
    """What to measure, and how much of it."""

    rounds: int
    items: int
    baseline_items: int
    growth: list[int]
    neighbours: int
    one_item_jobs: int
    shared_items: int
    plots: Path | None
    parts: list[str]


def parse_options(arguments: list[str]) -> QueueBenchmarkOptions:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the comparison")
    parser.add_argument("--items", type=int, default=20_000, help="items of our system's job in a round")
    parser.add_argument("--baseline-items", type=int, default=2_000, help="items of the baselines' jobs in a round")
    parser.add_argument("--growth", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6], help="items of jobs")
    parser.add_argument("--neighbours", type=int, default=100_000, help="items of the large job beside small ones")
    parser.add_argument("--one-item-jobs", type=int, default=100, help="one-item jobs of each priority")
    parser.add_argument("--shared-items", type=int, default=8_000, help="items of the job that two workers share")
    parser.add_argument("--plots", type=Path, help="a folder for the plots; no plots without it")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    given = parser.parse_args(arguments)
    if given.quick:
        parser.set_defaults(**QUICK)
        given = parser.parse_args(arguments)
    values = vars(given)
    del values["quick"]
    return QueueBenchmarkOptions(**values)


def measure(options: QueueBenchmarkOptions, console: Console) -> dict[str, Any]:
    """Measures the requested parts, prints each part's figures at once and returns all."""
    figures: dict[str, Any] = {"rounds": options.rounds}
    with one_core() as core, stack.bench() as bench:
        console.print(f"every process runs on core {core}, the caller included")
        catalog = write_catalog(bench.folder / "instant")
        if "compare" in options.parts:
            compared = compare(bench, catalog, options.rounds, options.items, options.baseline_items, console.print)
            figures |= report.comparison(console, compared)
        if "growth" in options.parts:
            grown = grow(bench, catalog, options.growth, console)
            figures |= report.growth(console, grown)
            draw(options, console, "queue-growth.svg", lambda plot, path: plot.growth(grown.runs, path))
        if "latency" in options.parts:
            measured = measure_latency(bench, options.neighbours, options.one_item_jobs, console.print)
            figures |= report.latency(console, measured)
    if "sharing" in options.parts:
        console.print("two workers share one job; they use all cores")
        with stack.bench() as bench:
            shared = share(bench, options.shared_items)
        figures |= report.sharing(console, shared)
        draw(options, console, "two-workers.svg", lambda plot, path: plot.sharing(shared, path))
    return figures | {"every_result_was_right": True}


def draw(options: QueueBenchmarkOptions, console: Console, name: str, drawn: Callable[[Any, Path], None]) -> None:
    """Draws with the module ``plot``. It is imported only here, because only plots need matplotlib."""
    if options.plots:
        drawn(import_module("benchmarks.queue.plot"), options.plots / name)
        console.print(f"wrote {options.plots / name}")


def main() -> None:
    options = parse_options(sys.argv[1:])
    console = begun()
    print(json.dumps(measure(options, console)))


if __name__ == "__main__":
    main()
