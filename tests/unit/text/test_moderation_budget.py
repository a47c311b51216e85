"""A text whose markup repeats it again and again is refused by name; all others are read whole."""

import pytest

from lengthwise.errors import Unanswerable
from lengthwise.kinds.moderation import text_spans
from lengthwise.text.moderation import TooIntricate, segments, traced_segments

HOSTILE = [part * (size // len(part)) for part in ("<a x='", "<zz yy='", "<b y='c") for size in (600, 9_000, 100_000)]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_grows_without_measure_is_refused(text: str) -> None:
    for read in (segments, traced_segments):
        with pytest.raises(TooIntricate):
            read(text)


@pytest.mark.parametrize(
    "text",
    [
        "<a x='" * 50,
        '<p title="what a lovely lamp">what a <b class="x y z">lovely</b> lamp</p>' * 1_300,
        "<img alt='one' src='https://x.org/how-to-boil-an-egg'>" * 1_800,
        "[what a lamp](https://x.org/%20what+a+lamp 'a title') " * 1_800,
        "<!-- a --><style>b{}</style><svg><title>c</title></svg>&lt;b&gt;d&lt;/b&gt;" * 1_200,
        "&amp;lt;b title='x y'&amp;gt;" * 3_400,
        "\"a b\" `c d` 'e f' " * 5_000,
    ],
)
def test_markup_as_people_and_editors_write_it_is_read_whole(text: str) -> None:
    assert sum(map(len, segments(text))) <= 6 * len(text) + 2_000


def test_the_kind_names_the_error() -> None:
    with pytest.raises(Unanswerable) as caught:
        text_spans(None, HOSTILE[0])  # type: ignore[arg-type]  # no model is asked
    assert caught.value.code == "too_intricate"
