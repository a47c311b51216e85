"""Draws the plot in docs/: every system's items per second on every workload, relative to transformers."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.drawing import pyplot, save, tidy
from benchmarks.engine.compare import ARRIVAL, EXACT, OURS, EngineComparison
from benchmarks.engine.workload import WORKLOADS

_COLOURS = {OURS: "#1f6fb4", EXACT: "#7fb2dc"}
_OTHER = "#b0b0b0"


def engine(found: Sequence[EngineComparison], path: Path) -> None:
    figure, every = pyplot.subplots(1, len(found), figsize=(4.2 * len(found), 2.8), layout="constrained", squeeze=False)
    for axes, comparison in zip(every[0], found, strict=True):
        ratios = {name: comparison.ratio(name, ARRIVAL) or 0 for name in comparison.rates}
        names = sorted(ratios, key=lambda name: ratios[name])
        bars = axes.barh(names, [ratios[name] for name in names], color=[_COLOURS.get(name, _OTHER) for name in names])
        rates = [f" {median(comparison.rates[name]):.2f} items/s" for name in names]
        axes.bar_label(bars, rates, fontsize=8)
        axes.set_xlim(0, 1.45 * max(ratios.values()))
        axes.set_title(WORKLOADS[comparison.workload].title, fontsize=10)
        axes.set_xlabel("× transformers in arrival order")
        axes.spines["right"].set_visible(False)
        tidy(axes)
    save(figure, path)
