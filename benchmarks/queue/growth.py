"""Measures jobs of a thousand to a million items. The cost per item must not grow with the job."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.queue import measure, stack
from benchmarks.queue.client import Job
from benchmarks.queue.corpus import Corpus, texts
from benchmarks.queue.measure import MeasuredJob
from benchmarks.queue.meter import peak_memory_bytes
from benchmarks.queue.stack import BenchmarkServers, BenchmarkStack

#: Small jobs are short, so their figures vary: a size is repeated until it has this many items, at most five times.
_ITEMS_A_SIZE = 50_000
_MOST_RUNS = 5


@dataclass(frozen=True)
class Growth:
    """Measured jobs by their number of items, and the API's peak memory after the largest."""

    runs: dict[int, list[MeasuredJob]]
    api_peak_bytes: int


def grow(bench: BenchmarkServers, catalog: Path, sizes: Sequence[int], console: Console) -> Growth:
    """Measures the sizes in this order, on one installation that keeps all jobs."""
    runs: dict[int, list[MeasuredJob]] = {}
    with stack.ours(bench, catalog) as running:
        measure.warm_up(running)
        for size in sizes:
            runs[size] = _of_size(running, size, console)
        return Growth(runs, peak_memory_bytes(running.api_pid))


def _of_size(running: BenchmarkStack, size: int, console: Console) -> list[MeasuredJob]:
    """Shows a progress bar, which starts to move once the POST is answered."""
    repeats = max(1, min(_MOST_RUNS, _ITEMS_A_SIZE // size))
    columns = (TextColumn("{task.description:>20}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        bar = progress.add_task(f"{repeats} × {size:,} items", total=repeats * size)

        def watch(job: Job) -> None:
            done = job["counts"]["total"] - job["counts"]["pending"]
            progress.update(bar, completed=len(runs) * size + done)

        runs: list[MeasuredJob] = []
        for seed in range(repeats):
            corpus = Corpus.write(texts(size, seed=1000 + seed), running.bench.folder / "job.ndjson")
            runs.append(measure.run(running, corpus, watch))
        return runs
