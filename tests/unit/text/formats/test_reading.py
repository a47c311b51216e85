"""What holds for every text in every format."""

import re
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from lengthwise.text.formats import TextFormat, guess, read
from lengthwise.text.markup import TokenKind, tokens
from lengthwise.text.part import Kept, Run
from tests.unit.text.formats.reading import passages, runs, texts

formats = st.sampled_from(TextFormat)


@given(texts, formats)
def test_no_character_is_lost(text: str, format_: TextFormat) -> None:
    assert "".join(part.raw for part in read(text, format_)) == text


@given(texts, formats)
def test_every_passage_has_a_letter_and_no_blank_at_its_ends(text: str, format_: TextFormat) -> None:
    for passage in passages(text, format_):
        assert any(re.search(r"[^\W\d_]", part.text) for part in passage.parts if isinstance(part, Run))
        for part, end in (passage.parts[0], 0), (passage.parts[-1], -1):
            assert isinstance(part, Kept) or not part.raw[end].isspace()


@given(texts, formats)
def test_neighbours_that_are_kept_are_one_part(text: str, format_: TextFormat) -> None:
    for parts in [read(text, format_), *(passage.parts for passage in passages(text, format_))]:
        kept = [isinstance(part, Kept) for part in parts]
        assert (True, True) not in pairwise(kept)


@given(texts, formats, st.data())
def test_slices_of_a_run_cover_its_raw(text: str, format_: TextFormat, data: st.DataObject) -> None:
    for run in runs(text, format_):
        cut = data.draw(st.integers(0, len(run.text)))
        parts = run.slice(0, cut), run.slice(cut, len(run.text))
        if 0 < cut < len(run.text):
            assert "".join(part.raw for part in parts) == run.raw
        assert "".join(part.text for part in parts) == run.text


@given(texts, formats)
def test_a_model_sees_no_invisible_and_no_private_characters(text: str, format_: TextFormat) -> None:
    assert all(not set(run.text) & set("\u00ad\u200b\ufeff\u2060\ue000") for run in runs(text, format_))


@given(texts, st.sampled_from([TextFormat.HTML, TextFormat.MARKDOWN]), texts | st.sampled_from(["<b>", "a <b", "&lt;"]))
@example("<p>a &lt; b</p>", TextFormat.HTML, "<b>")
@example("a < b", TextFormat.HTML, "1 <b> <")
@example("a < b \\ c", TextFormat.MARKDOWN, "\\<b> <")
def test_no_translation_brings_a_live_tag(text: str, format_: TextFormat, words: str) -> None:
    for passage in passages(text, format_):
        kinds = {token.kind for token in tokens(passage.encode(words))}
        assert kinds <= {TokenKind.TEXT, TokenKind.REFERENCE}


@given(texts)
def test_every_text_has_a_format(text: str) -> None:
    assert guess(text) in TextFormat
