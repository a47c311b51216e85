"""Plots as SVG. They have no style of their own: the page's style sheet knows their classes, in light and dark.

Every text goes through ElementTree, which escapes it.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from api.page import wording

_WIDTH, _HEIGHT = 560, 180
#: Around the plot itself, for the labels of its axes.
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 12, 26
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
#: The width of the longest label below a bar, and how far such labels are apart at least.
_LABEL_WIDTH, _LABEL_DISTANCE = 52, 64
#: A bar is no wider, however few there are.
_MOST_BAR_WIDTH = 44


class Point(NamedTuple):
    """A value at a place from 0 (left) to 1 (right). None interrupts the line."""

    place: float
    value: float | None


class PlotBar(NamedTuple):
    label: str
    value: float


def line(title: str, points: Sequence[Point], labels: Sequence[str]) -> Markup:
    """A line over time. ``labels`` stand below it at even distances, from its left end to its right one."""
    top = _round_top(max((point.value for point in points if point.value is not None), default=0.0))
    svg = _begun(title, top)
    for run in _runs(points):
        places = [f"{_x(point.place):.1f},{_y(value, top):.1f}" for point, value in run]
        if len(places) == 1:  # a line of one point would not be seen
            x, y = places[0].split(",")
            SubElement(svg, "circle", {"class": "series", "cx": x, "cy": y, "r": "1.5"})
        else:
            ground = [f"{_x(run[at][0].place):.1f},{_y(0, top):.1f}" for at in (-1, 0)]
            SubElement(svg, "polygon", {"class": "area", "points": " ".join(places + ground)})
            SubElement(svg, "polyline", {"class": "series", "points": " ".join(places)})
    for at, label in enumerate(labels):
        anchor = "start" if at == 0 else "end" if at == len(labels) - 1 else "middle"
        _text(svg, _x(at / max(1, len(labels) - 1)), _HEIGHT - 7, label, anchor)
    return _markup(svg)


def bars(title: str, given: Sequence[PlotBar]) -> Markup:
    """A bar for each value, with its label below it where there is room."""
    top = _round_top(max((bar.value for bar in given), default=0.0))
    svg = _begun(title, top)
    width = _PLOT_WIDTH / max(1, len(given))
    drawn = min(_MOST_BAR_WIDTH, width * 0.8)
    every = ceil(_LABEL_DISTANCE / width)
    for at, bar in enumerate(given):
        x, y = _LEFT + at * width, _y(bar.value, top)
        shown = SubElement(
            svg,
            "rect",
            {
                "class": "bar",
                "x": f"{x + (width - drawn) / 2:.1f}",
                "y": f"{y:.1f}",
                "width": f"{drawn:.1f}",
                "height": f"{_TOP + _PLOT_HEIGHT - y:.1f}",
            },
        )
        SubElement(shown, "title").text = _clean(f"{bar.label}: {wording.number(bar.value)}")
        middle = x + width / 2
        if at % every == 0 and middle + _LABEL_WIDTH / 2 <= _WIDTH:
            _text(svg, middle, _HEIGHT - 7, bar.label, "middle")
    return _markup(svg)


def _begun(title: str, top: float) -> Element:
    """The picture with its title, which screen readers read, and the lines of its values."""
    svg = Element("svg", {"class": "plot", "viewBox": f"0 0 {_WIDTH} {_HEIGHT}", "role": "img"})
    SubElement(svg, "title").text = _clean(title)
    for part in (0.0, 0.5, 1.0):
        y = f"{_y(part * top, top):.1f}"
        SubElement(svg, "line", {"class": "grid", "x1": str(_LEFT), "x2": str(_WIDTH - _RIGHT), "y1": y, "y2": y})
        _text(svg, _LEFT - 6, float(y) + 4, wording.short(part * top), "end")
    return svg


def _runs(points: Sequence[Point]) -> list[list[tuple[Point, float]]]:
    """The points between two interruptions."""
    found: list[list[tuple[Point, float]]] = [[]]
    for point in points:
        if point.value is None:
            found.append([])
        else:
            found[-1].append((point, point.value))
    return [run for run in found if run]


def _x(place: float) -> float:
    return _LEFT + min(1.0, max(0.0, place)) * _PLOT_WIDTH


def _y(value: float, top: float) -> float:
    return _TOP + _PLOT_HEIGHT * (1 - min(1.0, max(0.0, value / top)))


def _round_top(value: float) -> float:
    """The end of the axis: the next of 1, 2, 5, 10, 20, … that is no less."""
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if step * factor >= value:
                return step * factor
        step *= 10


def _text(svg: Element, x: float, y: float, text: str, anchor: str) -> None:
    label = SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor})
    label.text = _clean(text)


def _clean(text: str) -> str:
    """Without characters that no XML may hold."""
    return "".join(character for character in text if character.isprintable())


def _markup(svg: Element) -> Markup:
    return Markup(tostring(svg, encoding="unicode"))  # noqa: S704 - ElementTree has escaped every text
