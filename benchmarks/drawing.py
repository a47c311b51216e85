"""Draws the plots in docs/. The same figures always give the same file."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Letters are drawn as shapes, so that they look the same without our fonts.
matplotlib.rcParams |= {"svg.fonttype": "path", "svg.hashsalt": "lengthwise", "font.size": 10}


def tidy(*every: Axes) -> None:
    for axes in every:
        axes.spines["top"].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
