"""Runs the measurement: ``python -m benchmarks.queue``. Its last line is one JSON object."""

import argparse
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.queue import report, stack
from benchmarks.queue.compare import compare
from benchmarks.queue.corpus import write_catalog
from benchmarks.queue.growth import grow
from benchmarks.queue.latency import measure_latency
from benchmarks.queue.sharing import share

QUICK = {
    "rounds": 1,
    "items": 5000,
    "baseline_items": 500,
    "growth": [1000, 10_000],
    "neighbours": 20_000,
    "one_item_jobs": 30,
    "shared_items": 4000,
}


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    items: int
    baseline_items: int
    growth: list[int]
    neighbours: int
    one_item_jobs: int
    shared_items: int
    plots: Path | None


def plan(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute's worth of each: shows that it runs")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the comparison")
    parser.add_argument("--items", type=int, default=20_000, help="items of our job in a round")
    parser.add_argument("--baseline-items", type=int, default=2_000, help="items of the baselines' jobs in a round")
    parser.add_argument("--growth", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6], help="items of jobs")
    parser.add_argument("--neighbours", type=int, default=100_000, help="items of the job beside the one-item jobs")
    parser.add_argument("--one-item-jobs", type=int, default=100, help="one-item jobs of each priority")
    parser.add_argument("--shared-items", type=int, default=16_000, help="items of the job that two workers share")
    parser.add_argument("--plots", type=Path, help="a folder for the plots; without it none are drawn")
    given = parser.parse_args(arguments)
    if given.quick:
        parser.set_defaults(**QUICK)
        given = parser.parse_args(arguments)
    values = vars(given)
    del values["quick"]
    return Plan(**values)


def take_one_core() -> int:
    """Everything that this process starts runs on the core it runs on."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def measure(wanted: Plan, console: Console) -> dict[str, Any]:
    core = take_one_core()
    console.print(f"every process, the caller too, runs on core {core}; the machine may have other work: trust ratios")
    figures: dict[str, Any] = {"core": core, "rounds": wanted.rounds}
    with stack.bench() as bench:
        catalog = write_catalog(bench.folder / "instant")
        compared = compare(bench, catalog, wanted.rounds, wanted.items, wanted.baseline_items, console.print)
        figures |= report.comparison(console, compared)
        grown = grow(bench, catalog, wanted.growth, console)
        figures |= report.growth(console, grown)
        figures |= report.latency(
            console, measure_latency(bench, wanted.neighbours, wanted.one_item_jobs, console.print)
        )
        console.print("two workers at one job")
        shared = share(bench, wanted.shared_items)
        figures |= report.sharing(console, shared)
    if wanted.plots:
        from benchmarks.queue import plot  # its library is needed for this alone

        plot.growth(grown.runs, wanted.plots / "queue-growth.svg")
        plot.sharing(shared, wanted.plots / "two-workers.svg")
        console.print(f"plots are in {wanted.plots}")
    return figures | {"results_checked": "every one"}


def main() -> None:
    wanted = plan(sys.argv[1:])
    # So that whoever is asked to stop stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    console = Console() if sys.stdout.isatty() else Console(width=140)
    print(json.dumps(measure(wanted, console)))


if __name__ == "__main__":
    main()
