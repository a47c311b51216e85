"""What holds for every text."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.text.part import Branch, Choice, Kept, Part, Run
from lengthwise.text.protection import ALL, OPTIONAL, Convention, counts, find

#: What is kept, what may be a part of it, and what no search may take long for.
_PLACEHOLDERS = r"""
%s %d %1$s %(name)s %@ %% %-5.2f %.2f %,d %1 %n %#@files@ %Y-%m-%d %{name} %<name>s #{name} {} {0} {0:N2} {name}
{user['x']} {x!r:>10} {{x}} {{{raw}}} {%if%} <%=x%> <?php?> ${x} $name $t(key) [[x]] [USER_NAME] @@name@@ __NAME__
%name% :name :smile: \n \u00e9 {\an8} https://a.com/x?y=1 HTTP://b.de/ü www.a.com/{id} me@x.com müller@bücher.de
@handle SKU-12345 /etc/fstab C:\dir\x --help -v <b> </b> <br/> &nbsp; {n,number} https://ja.org/東京
"""
_FRAGMENTS = r"""
{ } { { } % %% %d % % d 5 $ # < > / - -- : :: @ [ [[ ] ]] ( ) \ _ __ & ; ' '' " = , plural select one other {n,plural,
{n,select,a{ one{ }} # =0 http:// www. a@b. .c a.b C:\ 用户 é ü क् 한 👍🏽 🇩🇪 🏴 AB-1234 <!-- --> %} <a b= tel: 7 ~ ./
"""
_HOSTILE = r"""
< { % {{ ${ {a, {a} {% {# {{{ %1 %( %-+ %% %< %a_ a@ @a a@b. 用@用. :a :a: http:// http://! www. www.! AB- AB-1 <a='
<!-- <% <? </a $t( $a[ [[ [% [a_ @@a __A_ \ C:\ /a /etc/ ~/ ./ -- --a=. --a=C:\& & &a '{ '' a://( a://x %dThttp://! %Y-
{a,plural, {a,plural,one{ {a,select,x{}} a://[{x,plural,] 🏴 👨‍👩 🇩🇪 a A - . "<a'" <a="
"""
PLACEHOLDERS = [*_PLACEHOLDERS.split(), "\ue000"]
FRAGMENTS = [*_FRAGMENTS.split(), " ", "\n", "\ue000"]
HOSTILE = [*_HOSTILE.split(), "\ue000"]

words = st.text(st.characters(categories=["L"]) | st.sampled_from(" .,!?’“"), min_size=1).map(lambda text: f"a{text}a")
texts = st.text() | st.lists(st.sampled_from(FRAGMENTS) | st.characters(), max_size=40).map("".join)
conventions = st.just(ALL) | st.just(ALL | OPTIONAL) | st.frozensets(st.sampled_from(Convention))


def runs(parts: "list[Part] | tuple[Part, ...]") -> list[Run]:
    found = [part for part in parts if isinstance(part, Run)]
    for choice in [part for part in parts if isinstance(part, Choice)]:
        for branch in [part for part in choice.parts if isinstance(part, Branch)]:
            found += runs(branch.parts)
    return found


@st.composite
def escaped(draw: st.DrawFn) -> Run:
    """A text whose characters stand in the source in several ways, or not at all."""
    text = draw(texts)
    raws = draw(st.lists(st.integers(0, 3), min_size=len(text), max_size=len(text)))
    sources = [char * times for char, times in zip(text, raws, strict=True)]
    starts = [sum(map(len, sources[:index])) for index in range(len(sources) + 1)]
    return Run("".join(sources), text, starts)


@given(texts, conventions)
def test_joined_the_parts_are_the_text_and_no_run_is_empty(text: str, chosen: frozenset[Convention]) -> None:
    parts = find(Run.plain(text), chosen)
    assert "".join(part.raw for part in parts) == text
    assert all(run.text for run in runs(parts)) or parts == [Run.plain("")]


@given(escaped(), conventions)
def test_joined_the_parts_are_the_source_however_it_was_escaped(run: Run, chosen: frozenset[Convention]) -> None:
    assert "".join(part.raw for part in find(run, chosen)) == run.raw


@given(st.lists(st.tuples(words, st.sampled_from(PLACEHOLDERS)), max_size=12), words)
def test_placeholders_among_words_come_back_whole(pairs: list[tuple[str, str]], last: str) -> None:
    text = "".join(f"{word} {placeholder} " for word, placeholder in pairs) + last
    kept = [part.raw for part in find(Run.plain(text), ALL) if isinstance(part, Kept)]
    assert kept == [placeholder for _, placeholder in pairs]
    assert counts(text, ALL) == Counter(kept)


@given(words, conventions)
def test_letters_and_punctuation_are_one_run(text: str, chosen: frozenset[Convention]) -> None:
    assert find(Run.plain(text), chosen) == [Run.plain(text)] or chosen & OPTIONAL


@given(st.lists(st.sampled_from([*PLACEHOLDERS, *FRAGMENTS]), max_size=3).map("".join))
def test_the_quick_look_at_a_text_misses_no_placeholder(text: str) -> None:
    if not counts(text, ALL):  # with emoji, no text is passed over
        assert not any(key.isascii() for key in counts(text, ALL | OPTIONAL))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        *(("=0%.2f", "%.2f"), ("0%o", "%o"), ("0x0%-5d", "%-5d"), ("a0%d", "%d"), ("_0%,d", "%,d"), ("5%L1%d", "%d")),
        *((text, None) for text in ("100%.", "=0%", "0.0%.2f", "0,0%d", "10%d", "0% of", "20%.2f")),
    ],
)
def test_a_percent_sign_behind_a_digit_is_read_alike_by_the_quick_and_the_full_look(
    text: str, kept: str | None
) -> None:
    expected = Counter([kept] if kept else [])
    assert counts(text, ALL) == expected
    assert counts(text, ALL | OPTIONAL) == expected, "with emoji, no text is passed over"


@given(texts, conventions)
def test_no_private_character_reaches_a_model(text: str, chosen: frozenset[Convention]) -> None:
    for run in runs(find(Run.plain(text), chosen)):
        assert not any("\ue000" <= char <= "\uf8ff" or char >= "\U000f0000" for char in run.text)


@pytest.mark.parametrize("part", HOSTILE)
def test_long_repetitive_texts_come_to_an_end(part: str) -> None:
    for hostile in ((part * 10_000)[:10_000], part + "1" * 10_000 + "a", part + "!" * 10_000, (part + " ") * 2_000):
        parts = find(Run.plain(hostile), ALL | OPTIONAL)
        assert sum(len(each.raw) for each in parts) == len(hostile)
