"""Draws the plots in docs/: the cost per item by the size of the job, and two workers on one job."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median

from matplotlib.patches import Patch

from benchmarks.drawing import pyplot, save, tidy
from benchmarks.queue.measure import MeasuredJob
from benchmarks.queue.sharing import BATCH_SECONDS, SHORT_WIDTH, Sharing

_BLUE, _ORANGE = "#1f6fb4", "#e07b00"


def growth(runs: Mapping[int, list[MeasuredJob]], path: Path) -> None:
    sizes = sorted(runs)
    figure, left = pyplot.subplots(figsize=(7.5, 4), layout="constrained")
    cost = [median(run.cpu_us_per_item() for run in runs[size]) for size in sizes]
    rate = [median(run.items_per_second for run in runs[size]) for size in sizes]
    left.plot(sizes, cost, "o-", color=_BLUE)
    left.set(xscale="log", ylim=(0, 1.25 * max(cost)), xlabel="items in the job")
    left.set_ylabel("CPU µs per item, all processes", color=_BLUE)
    right = left.twinx()
    right.plot(sizes, rate, "s--", color=_ORANGE)
    right.set_ylim(0, 1.25 * max(rate))
    right.set_ylabel("items/s", color=_ORANGE)
    for x, microseconds in zip(sizes, cost, strict=True):
        left.annotate(f"{microseconds:.0f}", (x, microseconds), (0, 8), textcoords="offset points", ha="center")
    left.set_title("A job from POST to downloaded results, no-op engine, everything on one core", fontsize=10)
    tidy(left, right)
    save(figure, path)


def sharing(found: Sharing, path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(9, 2.8), layout="constrained")
    began = min(batches[0].began for batches in found.workers)
    for row, batches in enumerate(found.workers):
        bars = [(batch.began - began, batch.ended - batch.began) for batch in batches]
        colours = [_BLUE if batch.width <= SHORT_WIDTH else _ORANGE for batch in batches]
        axes.broken_barh(bars, (row - 0.35, 0.7), facecolors=colours, edgecolor="white", linewidth=0.4)
    labels = [f"worker {row}\nno batch {idle:.0%}" for row, idle in enumerate(found.idle_shares, 1)]
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("seconds since the first batch")
    n_batches = sum(map(len, found.workers))
    axes.set_title(f"One job, two workers, two length buckets: {n_batches} batches of {BATCH_SECONDS * 1000:g} ms")
    legend = [Patch(color=_BLUE, label="texts of 8 tokens"), Patch(color=_ORANGE, label="texts of 57 to 64 tokens")]
    axes.legend(handles=legend, loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=2, frameon=False)
    axes.spines["right"].set_visible(False)
    tidy(axes)
    save(figure, path)
