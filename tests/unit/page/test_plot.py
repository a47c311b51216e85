"""Plots are valid SVG, whatever their values and labels are, and stay inside of their frame."""

from itertools import pairwise
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.page import plot
from api.page.plot import PlotBar, Point

VALUES = st.floats(0, 1e12)
PLACES = st.floats(-1, 2)
TEXTS = st.text(max_size=20)


def parsed(drawn: str) -> Element:
    return fromstring(drawn)  # noqa: S314 - made by our own code


def numbers(svg: Element) -> list[tuple[float, float]]:
    """Every point that is drawn."""
    found = []
    for element in svg.iter():
        if element.tag in ("polyline", "polygon"):
            for pair in element.attrib["points"].split():
                x, y = map(float, pair.split(","))
                found.append((x, y))
        elif element.tag == "circle":
            found.append((float(element.attrib["cx"]), float(element.attrib["cy"])))
        elif element.tag == "rect":
            x, y, width, height = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
            found += [(x, y), (x + width, y + height)]
    return found


def require_inside(svg: Element) -> None:
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for x, y in numbers(svg):
        assert -0.1 <= x <= width + 0.1
        assert -0.1 <= y <= height + 0.1


@given(
    points=st.lists(st.tuples(PLACES, st.none() | VALUES), max_size=80), title=TEXTS, labels=st.lists(TEXTS, max_size=6)
)
def test_a_line_is_valid_and_inside(points: list[tuple[float, float | None]], title: str, labels: list[str]) -> None:
    svg = parsed(plot.line(title, [Point(*each) for each in points], labels))
    require_inside(svg)
    n_drawn = sum(value is not None for _, value in points)
    runs = [len(element.attrib["points"].split()) for element in svg.findall("polyline")]
    assert sum(runs) + len(svg.findall("circle")) == n_drawn
    assert [len(element.attrib["points"].split()) for element in svg.findall("polygon")] == [n + 2 for n in runs]


@given(bars=st.lists(st.tuples(TEXTS, VALUES), max_size=60), title=TEXTS)
def test_a_histogram_has_a_bar_for_each_value_inside(bars: list[tuple[str, float]], title: str) -> None:
    svg = parsed(plot.bars(title, [PlotBar(*each) for each in bars]))
    require_inside(svg)
    assert len(svg.findall("rect")) == len(bars)


@pytest.mark.parametrize("n", [1, 7, 13, 30, 31, 90, 365, 366])
def test_labels_below_bars_have_room(n: int) -> None:
    svg = parsed(plot.bars("x", [PlotBar(f"{at:05}", at) for at in range(n)]))
    places = [float(text.attrib["x"]) for text in svg.iter("text") if len(text.text or "") == 5]
    assert len(places) >= min(n, 6)
    assert all(26 <= place <= 560 - 26 for place in places), "the longest labels are 52 wide"
    assert all(later - place >= 63.9 for place, later in pairwise(places))


@pytest.mark.parametrize("canary", ["<script>x()</script>", '"><img onerror=x()>', "</svg><b>", "\0\x0b\x1b", "&amp;"])
def test_a_label_is_text(canary: str) -> None:
    for drawn in (plot.bars(canary, [PlotBar(canary, 1)]), plot.line(canary, [Point(0, 1)], [canary])):
        svg = parsed(drawn)
        assert {element.tag for element in svg.iter()} <= {
            "svg",
            "title",
            "line",
            "text",
            "rect",
            "circle",
            "polyline",
            "polygon",
        }
        shown = "".join(character for character in canary if character.isprintable())
        assert shown in {element.text or "" for element in svg.iter("text")}


def test_a_missing_value_interrupts_the_line() -> None:
    points = [Point(at / 10, None if at in (3, 4) else 1.0) for at in range(10)]
    svg = parsed(plot.line("x", points, []))
    assert [len(element.attrib["points"].split()) for element in svg.findall("polyline")] == [3, 5]


@pytest.mark.parametrize(("highest", "top"), [(0, "1"), (1, "1"), (1.1, "2"), (3, "5"), (7, "10"), (1234, "2.0k")])
def test_the_axis_ends_at_a_round_number(highest: float, top: str) -> None:
    svg = parsed(plot.bars("x", [PlotBar("a", highest)]))
    assert top in {element.text for element in svg.iter("text")}


def test_a_picture_has_a_name_for_those_who_do_not_see_it() -> None:
    svg = parsed(plot.line("Items a second", [], []))
    assert svg.attrib["role"] == "img"
    assert svg[0].tag == "title" and svg[0].text == "Items a second"
