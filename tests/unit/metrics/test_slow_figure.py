"""A figure that is quick to find is always the present one; one that is slow keeps nobody waiting."""

from threading import Event

import pytest

from lengthwise.metrics import slow_figure
from lengthwise.metrics.slow_figure import SlowFigure


class Search:
    """Finds 1, 2, 3, …, and raises instead where the test says so. While ``is_open`` is not set, it finds nothing."""

    def __init__(self) -> None:
        self.n_found = 0
        self.error: Exception | None = None
        self.is_open = Event()
        self.is_open.set()

    def __call__(self) -> int:
        assert self.is_open.wait(60)
        if self.error:
            raise self.error
        self.n_found += 1
        return self.n_found


@pytest.fixture
def search() -> Search:
    return Search()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question waits until the figure is found, as it does for one that is quick, whatever else runs here."""
    monkeypatch.setattr(slow_figure, "_PATIENCE_SECONDS", 60.0)


def test_a_quick_figure_is_found_anew_for_each_question(search: Search, patient: None) -> None:
    figure = SlowFigure(search)
    assert [figure.get() for _ in range(4)] == [1, 2, 3, 4]


def test_a_slow_figure_is_the_one_that_was_found_since_the_last_question(search: Search) -> None:
    figure = SlowFigure(search)
    assert figure.get() == 1, "the first question waits"
    search.is_open.clear()
    assert [figure.get() for _ in range(3)] == [1, 1, 1]
    search.is_open.set()
    assert figure._finding is not None
    figure._finding.result(60)
    search.is_open.clear()
    assert figure.get() == 2


def test_only_one_search_runs_however_often_it_is_asked_for(search: Search) -> None:
    figure = SlowFigure(search)
    figure.get()
    search.is_open.clear()
    for _ in range(5):
        figure.get()
    search.is_open.set()
    assert figure._finding is not None
    assert figure._finding.result(60)[0] == 2
    assert search.n_found == 2


def test_a_figure_that_is_no_longer_recent_is_not_shown(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_figure, "_RECENT_SECONDS", 0.0)
    monkeypatch.setattr(slow_figure, "_PATIENCE_SECONDS", 0.0)
    figure = SlowFigure(search)
    assert [figure.get() for _ in range(3)] == [1, 2, 3]


def test_what_the_search_raises_is_raised_and_the_next_question_searches_again(search: Search, patient: None) -> None:
    figure = SlowFigure(search)
    search.error = ValueError("away")
    for _ in range(2):
        with pytest.raises(ValueError, match="away"):
            figure.get()
    search.error = None
    assert figure.get() == 1


def test_after_a_slow_search_that_failed_nothing_earlier_is_shown(search: Search) -> None:
    figure = SlowFigure(search)
    assert figure.get() == 1
    search.is_open.clear()
    assert figure.get() == 1
    search.error = ValueError("away")
    search.is_open.set()
    assert figure._finding is not None
    assert isinstance(figure._finding.exception(60), ValueError)
    with pytest.raises(ValueError, match="away"):
        figure.get()
    search.error = None
    assert figure.get() == 2
