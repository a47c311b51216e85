"""Runs of words, and how they stood in the source."""

from hypothesis import given
from hypothesis import strategies as st

from lengthwise.text.part import Branch, Choice, Kept, Passage, Run

_written = st.lists(st.sampled_from([("a", "a"), ("é", "&eacute;"), ("<", "&lt;"), ("b", "\u00adb")]), max_size=12)


@given(_written, st.data())
def test_the_slices_of_a_run_cover_all_of_its_source(written: list[tuple[str, str]], data: st.DataObject) -> None:
    starts = [sum(len(raw) for _, raw in written[:index]) for index in range(len(written) + 1)]
    run = Run("".join(raw for _, raw in written), "".join(char for char, _ in written), starts)
    cut = data.draw(st.integers(0, len(run.text)))
    before, after = run.slice(0, cut), run.slice(cut, len(run.text))
    assert before.raw + after.raw == run.raw
    assert before.text + after.text == run.text
    cut = data.draw(st.integers(0, len(after.text)))
    assert after.slice(0, cut).raw + after.slice(cut, len(after.text)).raw == after.raw


def test_parts_joined_are_the_source() -> None:
    choice = Choice((Kept("{n, plural, one {"), Branch((Kept("#"), Run.plain(" apple"))), Kept("}}")))
    passage = Passage((Run.plain("I ate "), choice, Run("&amp;", "&", [0, 5])))
    assert passage.raw == "I ate {n, plural, one {# apple}}&amp;"
