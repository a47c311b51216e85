"""Shows the results of the GPU benchmark: a table for people, and figures for the JSON object."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.engine.compare import EngineComparison, SystemEntry
from benchmarks.engine.report import Figures, rounded, spread
from benchmarks.engine.workload import WORKLOADS
from benchmarks.gpu.bandwidth import MemoryReads

OURS, SORTED, CONTINUOUS = "lengthwise bf16", "transformers, sorted", "transformers, continuous"
SYSTEMS = {
    OURS: SystemEntry("benchmarks.gpu.system:Bf16System"),
    SORTED: SystemEntry("benchmarks.gpu.system:SortedGpuPeer"),
    CONTINUOUS: SystemEntry("benchmarks.gpu.system:ContinuousBatchingPeer", "w2 w3"),
}
_KEYS = {OURS: "ours", SORTED: "sorted", CONTINUOUS: "continuous"}


@dataclass(frozen=True)
class SystemFigures:
    """One system's items and written tokens per second, peak memory, and share of the bandwidth if known."""

    items: float
    tokens: float
    peak_bytes: int
    share: float | None


def rows(found: EngineComparison, count: int, reads: MemoryReads, bandwidth: float) -> dict[str, SystemFigures]:
    workload = WORKLOADS[found.workload]
    sizes = workload.drawn(count)
    tokens = sum(size.n_output for size in sizes) / count
    every = {}
    for name, rates in found.rates.items():
        items, batches, share = median(rates), found.batches[name], None
        if batches is not None:
            share = reads.total(sizes, batches, workload.n_prefix) * items / count / bandwidth
        every[name] = SystemFigures(items, items * tokens, found.peak_bytes[name], share)
    return every


def comparison(console: Console, found: EngineComparison, every: dict[str, SystemFigures]) -> Figures:
    table = Table("system", title=WORKLOADS[found.workload].title, title_justify="left")
    for column in ("items/s (min–max)", "tokens/s", "of the bandwidth", "peak GiB", "ours is × as fast"):
        table.add_column(column, justify="right")
    for name, row in every.items():
        ratio, share = found.ratio(OURS, name), row.share
        table.add_row(
            name,
            spread(found.rates[name]),
            f"{row.tokens:.0f}",
            "" if share is None else f"{share:.1%}",
            f"{row.peak_bytes / 2**30:.2f}",
            "" if ratio is None else f"{ratio:.2f}",
        )
    console.print(table)
    key = found.workload
    return {
        f"{key}_vs_sorted": rounded(found.ratio(OURS, SORTED)),
        f"{key}_vs_continuous": rounded(found.ratio(OURS, CONTINUOUS)),
        key: {_KEYS[name]: _figures(row) for name, row in every.items()},
    }


def _figures(row: SystemFigures) -> dict[str, Any]:
    return {
        "items_per_second": round(row.items, 3),
        "tokens_per_second": round(row.tokens, 1),
        "peak_bytes": row.peak_bytes,
        "share_of_bandwidth": rounded(row.share, 6),
    }
