"""Runs the engine benchmark: ``python -m benchmarks.engine``. The last line printed is one JSON object."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks.child_program import SystemFailure
from benchmarks.console import begun
from benchmarks.core import one_core
from benchmarks.engine import model, peak, report
from benchmarks.engine.compare import OURS, SYSTEMS, EngineComparison, compare
from benchmarks.engine.counts import items_by_part
from benchmarks.engine.share import measure_share
from benchmarks.engine.workload import WORKLOADS
from benchmarks.queue import stack

PARTS = ["w1", "w2", "w3", "share"]
ITEMS = {"w1": 400, "w2": 64, "w3": 48, "share": 200}
QUICK = {"w1": 32, "w2": 4, "w3": 4, "share": 32}
_PEERS = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"


@dataclass(frozen=True)
class EngineBenchmarkOptions:
    """What to measure, and how much of it."""

    rounds: int
    items: Mapping[str, int]
    systems: Sequence[str]
    peers: Path
    models: Path | None
    plots: Path | None
    parts: Sequence[str]
    clock: str


def parse_options(arguments: list[str]) -> EngineBenchmarkOptions:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers and one round, to see that it works")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, nargs="+", help="items of each part, in the order of --parts")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--peers", type=Path, default=_PEERS, help="the Python interpreter of the peers' environment")
    parser.add_argument("--models", type=Path, help="a folder in which to keep the generated models")
    parser.add_argument("--plots", type=Path, help="a folder for the plot; no plot without it")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: if others share the core")
    given = parser.parse_args(arguments)
    counts = items_by_part(parser, given.parts, given.items, QUICK if given.quick else ITEMS)
    rounds = 1 if given.quick else given.rounds
    systems = [name for name in given.systems if given.peers.is_file() or not SYSTEMS[name].is_peer]
    return EngineBenchmarkOptions(
        rounds, counts, systems, given.peers, given.models, given.plots, given.parts, given.clock
    )


def measure(options: EngineBenchmarkOptions, folder: Path, console: Console) -> dict[str, Any]:
    """Measures the requested parts, prints each part's figures at once and returns all. Raises ``SystemFailure``."""
    ours = Path(sys.executable)
    found: list[EngineComparison] = []
    figures: dict[str, Any] = {"rounds": options.rounds, "clock": options.clock}
    for part in [part for part in options.parts if part != "share"]:
        count, interpreters = options.items[part], {False: ours, True: options.peers}
        path = model.write(WORKLOADS[part].model, folder)
        systems = {name: SYSTEMS[name] for name in options.systems}
        found.append(compare(part, path, count, options.rounds, systems, interpreters, options.clock, console.print))
        figures |= report.comparison(console, found[-1])
        if part == "w1" and OURS in found[-1].rates:
            best = peak.int8_operations_per_second()
            operations = peak.translation_operations(WORKLOADS[part].drawn(count)) / count
            figures |= report.peak(console, operations * median(found[-1].rates[OURS]) / best, best)
    if "share" in options.parts:
        with stack.bench() as bench:
            figures |= report.share(
                console, measure_share(bench, options.items["share"], options.rounds, ours, console.print)
            )
    if options.plots and found:
        import_module("benchmarks.engine.plot").engine(found, options.plots / "engine.svg")
        console.print(f"wrote {options.plots / 'engine.svg'}")
    return figures


def main() -> None:
    options = parse_options(sys.argv[1:])
    console = begun()
    if not options.peers.is_file():
        console.print(f"the peers are left out: their own environment {options.peers} is not there")
    with one_core() as core, tempfile.TemporaryDirectory(prefix="lw-engine-") as made:
        console.print(f"everything runs on core {core}; each system has one thread and runs alone")
        folder = options.models or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            figures = measure(options, folder, console)
        except SystemFailure as error:
            sys.exit(str(error))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
