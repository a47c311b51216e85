"""How the plots in docs/ are drawn: the same figures give the same file."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Letters as shapes look the same everywhere.
matplotlib.rcParams |= {"svg.fonttype": "path", "svg.hashsalt": "lengthwise", "font.size": 10}


def tidy(*every: Axes) -> None:
    for axes in every:
        axes.spines["top"].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
