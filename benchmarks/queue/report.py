"""Shows the results: tables for people, and figures for the JSON object."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.queue.baseline.configuration import BATCHES, ONE
from benchmarks.queue.compare import NO_BATCHES, OURS, QueueComparison
from benchmarks.queue.growth import Growth
from benchmarks.queue.latency import Latency
from benchmarks.queue.measure import MeasuredJob
from benchmarks.queue.sharing import Sharing

PARTS = ("api", "worker", "postgres", "redis")
MILLION = 1_000_000

Figures = dict[str, Any]


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(first, title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _spread(values: Sequence[float]) -> str:
    """Shows the median, and minimum and maximum if there are several values."""
    return f"{median(values):,.0f}" + (f" ({min(values):,.0f}–{max(values):,.0f})" if len(values) > 1 else "")


def _cost_table(title: str, rows: Mapping[str, Sequence[MeasuredJob]]) -> Table:
    heads = ("items/s", "CPU µs/item", *(f"… {part}" for part in PARTS), "Redis bytes in", "out", "others")
    table = _table(title, "", *heads)
    for name, runs in rows.items():
        table.add_row(
            name,
            _spread([run.items_per_second for run in runs]),
            _spread([run.cpu_us_per_item() for run in runs]),
            *(f"{median(run.parts_us_per_item()[part] for run in runs):,.1f}" for part in PARTS),
            f"{median(run.cost.redis_in / run.items for run in runs):,.1f}",
            f"{median(run.cost.redis_out / run.items for run in runs):,.1f}",
            f"{median(run.cost.others_share for run in runs):.0%}",
        )
    return table


def comparison(console: Console, found: QueueComparison) -> Figures:
    console.print("others: the share of the core that other programs used; the larger it is, the less items/s mean")
    console.print(_cost_table("Per item, everything on one core: median of the rounds (min–max)", found.runs))
    if BATCHES not in found.runs:
        console.print(NO_BATCHES)

    def rounded(name: str, of: Callable[[MeasuredJob], float]) -> float | None:
        value = found.figure(name, of)
        return None if value is None else round(value, 2)

    def ratio(name: str) -> float | None:
        value = found.ratio(name)
        return None if value is None else round(value, 1)

    return {
        "cpu_us_per_item": rounded(OURS, MeasuredJob.cpu_us_per_item),
        "task_per_item_cpu_us": rounded(ONE, MeasuredJob.cpu_us_per_item),
        "cpu_ratio": ratio(ONE),
        "celery_batches_cpu_us": rounded(BATCHES, MeasuredJob.cpu_us_per_item),
        "celery_batches_cpu_ratio": ratio(BATCHES),
        "celery_batches": "measured" if BATCHES in found.runs else NO_BATCHES,
        "redis_bytes_per_item": rounded(OURS, lambda run: run.cost.redis_in / run.items),
        "task_per_item_redis_bytes": rounded(ONE, lambda run: run.cost.redis_in / run.items),
        "core_for_others": rounded(OURS, lambda run: run.cost.others_share),
        "items_per_second": rounded(OURS, lambda run: run.items_per_second),
        "task_per_item_items_per_second": rounded(ONE, lambda run: run.items_per_second),
        "celery_batches_items_per_second": rounded(BATCHES, lambda run: run.items_per_second),
    }


def growth(console: Console, found: Growth) -> Figures:
    console.print(_cost_table("Growth", {f"{size:,}": runs for size, runs in found.runs.items()}))
    table = _table(
        "Growth: where the CPU µs per item go, and seconds",
        "items",
        "post",
        "work",
        "download",
        "POST s",
        "last result s",
    )
    for size, runs in found.runs.items():
        steps = (median(run.cpu_us_per_item(run.steps[step]) for run in runs) for step in ("post", "work", "download"))
        posted = median(run.steps["post"].seconds for run in runs)
        table.add_row(
            f"{size:,}",
            *(f"{step:,.1f}" for step in steps),
            f"{posted:.2f}",
            f"{median(run.seconds for run in runs):.2f}",
        )
    console.print(table)
    console.print(f"the API's peak memory was {found.api_peak_bytes / 2**20:,.0f} MiB")
    million = found.runs.get(MILLION, [])
    return {
        "million_items_seconds": round(million[0].seconds, 1) if million else None,
        "million_post_seconds": round(million[0].steps["post"].seconds, 1) if million else None,
        "million_download_seconds": round(million[0].steps["download"].seconds, 1) if million else None,
        "api_peak_mib": round(found.api_peak_bytes / 2**20),
        "cpu_us_per_item_by_size": {
            str(size): round(median(run.cpu_us_per_item() for run in runs), 2) for size, runs in found.runs.items()
        },
    }


def latency(console: Console, found: Latency) -> Figures:
    table = _table(
        "A one-item job beside a large one: ms until its result is read", "priority", "jobs", "p50", "p95", "max"
    )
    for priority, samples in found.samples.items():
        figures = (found.p50(priority), found.p95(priority), max(samples))
        table.add_row(priority, f"{len(samples)}", *(f"{figure:,.1f}" for figure in figures))
    console.print(table)
    console.print(
        f"an engine batch takes {found.engine_batch_ms:.1f} ms; others used {found.others_share:.0%} of the core"
    )
    return {
        "one_item_p50_ms": round(found.p50("interactive"), 1),
        "one_item_p95_ms": round(found.p95("interactive"), 1),
        "one_item_normal_p50_ms": round(found.p50("normal"), 1),
        "one_item_normal_p95_ms": round(found.p95("normal"), 1),
        "one_item_normal_jobs": len(found.samples["normal"]),
        "one_item_core_for_others": round(found.others_share, 2),
        "engine_batch_ms": round(found.engine_batch_ms, 2),
    }


def sharing(console: Console, found: Sharing) -> Figures:
    table = _table("Two workers share a job of two length buckets", "worker", "batches", "items", "without a batch")
    for number, (batches, idle) in enumerate(zip(found.workers, found.idle_shares, strict=True), 1):
        table.add_row(f"{number}", f"{len(batches)}", f"{sum(batch.rows for batch in batches)}", f"{idle:.1%}")
    console.print(table)
    console.print(f"the longest gap between two batches of a worker: {found.longest_gap_ms:.0f} ms")
    return {
        "two_workers_idle_share": [round(idle, 4) for idle in found.idle_shares],
        "two_workers_longest_gap_ms": round(found.longest_gap_ms, 1),
    }
