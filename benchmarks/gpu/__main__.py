"""Runs the measurement on a GPU: ``python -m benchmarks.gpu``. Its last line is one JSON object."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.engine import model
from benchmarks.engine.compare import compare
from benchmarks.engine.counts import items_by_part
from benchmarks.engine.process import SystemFailure
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
    """What is measured, and how much; ``size`` is that of the Llama, or ``tiny``."""

    size: str
    rounds: int
    items: Mapping[str, int]
    systems: Sequence[str]
    models: Path | None
    parts: Sequence[str]


def parse_options(arguments: list[str]) -> GpuBenchmarkOptions:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="1b", help="parameters of the Llama of W2 and W3")
    parser.add_argument(
        "--tiny", action="store_true", help="tiny models and one round, on a CPU too: shows that it runs"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, nargs="+", help="of each part, in the order of --parts")
    parser.add_argument("--systems", nargs="+", choices=list(report.SYSTEMS), default=list(report.SYSTEMS))
    parser.add_argument("--models", type=Path, help="a folder that keeps the models that are made")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args(arguments)
    counts = items_by_part(parser, given.parts, given.items, TINY if given.tiny else ITEMS)
    size, rounds = ("tiny", 1) if given.tiny else (given.size, given.rounds)
    return GpuBenchmarkOptions(size, rounds, counts, given.systems, given.models, given.parts)


def measure(wanted: GpuBenchmarkOptions, where: torch.device, folder: Path, console: Console) -> dict[str, Any]:
    """The figures of the parts that are wanted, which are shown as they are found. Raises ``SystemFailure``."""
    bandwidth = bytes_per_second(where, _TINY_COPIED_BYTES if wanted.size == "tiny" else _COPIED_BYTES)
    if where.type == "cuda":
        torch.cuda.empty_cache()  # the systems are processes of their own
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu"
    console.print(f"{name} copies {bandwidth / 1e9:.0f} GB/s, read and written")
    figures: dict[str, Any] = {"device": name, "size": wanted.size, "rounds": wanted.rounds}
    figures["copied_bytes_per_second"] = round(bandwidth)
    systems = {system: report.SYSTEMS[system] for system in wanted.systems}
    for part in wanted.parts:
        kind, count = chosen(WORKLOADS[part].model, wanted.size), wanted.items[part]
        console.print(f"{part}: {kind}")
        with where:  # billions of random numbers
            path = model.write(kind, folder, GPU_SHAPES)
        found = compare(part, path, count, wanted.rounds, systems, {False: Path(sys.executable)}, "wall", console.print)
        every = report.rows(found, count, MemoryReads.of(GPU_SHAPES[kind]), bandwidth)
        figures |= report.comparison(console, found, every)
    return figures


def main() -> None:
    wanted = parse_options(sys.argv[1:])
    where = device("auto")
    if where.type != "cuda" and wanted.size != "tiny":
        sys.exit("there is no GPU here: --tiny shows on a CPU that everything runs")
    # So that whoever is asked to stop stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    console = Console() if sys.stdout.isatty() else Console(width=140)
    with tempfile.TemporaryDirectory(prefix="lw-gpu-") as made:
        folder = wanted.models or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            figures = measure(wanted, where, folder, console)
        except SystemFailure as error:
            sys.exit(str(error))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
