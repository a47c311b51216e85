"""Runs the benchmark on a GPU: ``python -m benchmarks.gpu``. The last line printed is one JSON object."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.child_program import SystemFailure
from benchmarks.console import begun
from benchmarks.engine import model
from benchmarks.engine.compare import compare
from benchmarks.engine.counts import items_by_part
from benchmarks.engine.workload import WORKLOADS
from benchmarks.gpu import report
from benchmarks.gpu.bandwidth import MemoryReads, bytes_per_second
from benchmarks.gpu.shape import GPU_SHAPES, SIZES, chosen
from worker.engine.transformer.precision import device

PARTS = ["w1", "w2", "w3"]
ITEMS = {"w1": 4000, "w2": 1000, "w3": 500}
TINY = {"w1": 6, "w2": 3, "w3": 2}
_COPIED_BYTES, _TINY_COPIED_BYTES = 1 << 30, 1 << 24


@dataclass(frozen=True)
class GpuBenchmarkOptions:
    """What to measure, and how much of it. ``size`` is the size of the Llama model, or ``tiny``."""

    size: str
    rounds: int
    items: Mapping[str, int]
    systems: Sequence[str]
    models: Path | None
    parts: Sequence[str]


def parse_options(arguments: list[str]) -> GpuBenchmarkOptions:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="1b", help="parameters of the Llama model for W2 and W3")
    parser.add_argument(
        "--tiny", action="store_true", help="tiny models and one round, to see that it works; runs on a CPU too"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, nargs="+", help="items of each part, in the order of --parts")
    parser.add_argument("--systems", nargs="+", choices=list(report.SYSTEMS), default=list(report.SYSTEMS))
    parser.add_argument("--models", type=Path, help="a folder in which to keep the generated models")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args(arguments)
    counts = items_by_part(parser, given.parts, given.items, TINY if given.tiny else ITEMS)
    size, rounds = ("tiny", 1) if given.tiny else (given.size, given.rounds)
    return GpuBenchmarkOptions(size, rounds, counts, given.systems, given.models, given.parts)


def measure(options: GpuBenchmarkOptions, where: torch.device, folder: Path, console: Console) -> dict[str, Any]:
    """Measures the requested parts, prints each part's figures at once and returns all. Raises ``SystemFailure``."""
    bandwidth = bytes_per_second(where, _TINY_COPIED_BYTES if options.size == "tiny" else _COPIED_BYTES)
    if where.type == "cuda":
        torch.cuda.empty_cache()  # the systems run in other processes and need this memory
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu"
    console.print(f"{name} copies {bandwidth / 1e9:.0f} GB/s, counting reads and writes")
    figures: dict[str, Any] = {"device": name, "size": options.size, "rounds": options.rounds}
    figures["copied_bytes_per_second"] = round(bandwidth)
    systems = {system: report.SYSTEMS[system] for system in options.systems}
    for part in options.parts:
        kind, count = chosen(WORKLOADS[part].model, options.size), options.items[part]
        console.print(f"{part}: {kind}")
        with where:  # a GPU draws billions of random numbers faster
            path = model.write(kind, folder, GPU_SHAPES)
        ours = {False: Path(sys.executable)}
        found = compare(part, path, count, options.rounds, systems, ours, "wall", console.print)
        every = report.rows(found, count, MemoryReads.of(GPU_SHAPES[kind]), bandwidth)
        figures |= report.comparison(console, found, every)
    return figures


def main() -> None:
    options = parse_options(sys.argv[1:])
    where = device("auto")
    if where.type != "cuda" and options.size != "tiny":
        sys.exit("there is no GPU here; on a CPU, --tiny shows that everything runs")
    console = begun()
    with tempfile.TemporaryDirectory(prefix="lw-gpu-") as made:
        folder = options.models or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            figures = measure(options, where, folder, console)
        except SystemFailure as error:
            sys.exit(str(error))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
