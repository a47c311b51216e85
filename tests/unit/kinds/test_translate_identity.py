"""A model that copies each sentence gives every text back as it was, but for the documented cleaning."""

import html
import re
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kinds.identity import identity_model, translation

_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_WORDS = [
    "I ate an apple.",
    "Hello",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    "café",
    "He left at 5 p.m. today.",
    "猫。",
    "犬。",
]
_WORDS += [
    "क्या? हाँ।",
    "x y z",
    "3.5 kg",
    "😀",
    "👩‍👩‍👧",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "e\u0301",
    "\u00ad",
    "\u200b",
    "\ufeff",
    "\ue000",
    "\uf8ff",
    "\u2028",
    "\x07",
    "\x85",
]
_MARKUP = ["<p>", "</p>", "<b>", "</b>", "<br>", "<br/>", "<ul><li>", "</li></ul>", '<a href="/x?a=1&amp;b=2">', "</a>"]
_MARKUP += [
    "<!-- wp:paragraph -->",
    "<script>if (a<b) x()</script>",
    "<pre>",
    "</pre>",
    "<code>",
    "</code>",
    "<img alt='x y'>",
]
_MARKUP += [
    "&lt;b&gt;",
    "&amp;",
    "&nbsp;",
    "&eacute;",
    "&#39;",
    "&quot;",
    "&copy",
    "&amp;lt;",
    "<",
    ">",
    "&",
    '"',
    "'",
    "<b x='",
]
_MARKDOWN = [
    "# ",
    "- ",
    "  - ",
    "1. ",
    "> ",
    "```\n",
    "~~~\n",
    "`",
    "**",
    "_",
    "[link](http://x.y/z)",
    '![alt](i.png "t")',
]
_MARKDOWN += [
    "| a | b |\n",
    "|---|---|\n",
    "    code\n",
    "\\*",
    "<http://x.y>",
    "[ref]: http://x.y\n",
    "---\n",
    "  \n",
    "\\\n",
]
_PLACEHOLDERS = ["%s", "%1$s", "%-5.2f", "%{name}", "#{name}", "{}", "{0}", "{name}", "{{x}}", "${x}", "$name", ":name"]
_PLACEHOLDERS += ["%1", "%n", "[[x]]", "<%= x %>", "$t(key)", "{\\an8}", "\\n", "%Y-%m-%d", "%#@files@", "{user['x']}"]
_PLACEHOLDERS += [
    "{n, plural, one {# item} other {# items}}",
    "{g, select, male {He} other {They}}",
    "{'",
    "''",
    "{",
    "}",
]
_PLACEHOLDERS += [
    "https://example.com/a?b=c.",
    "HTTP://EXAMPLE.COM",
    "http://münchen.de/straße",
    "me@example.com",
    "SKU-12345",
]


def _texts(*pieces: list[str]) -> st.SearchStrategy[str]:
    known = st.sampled_from([piece for group in pieces for piece in group])
    return st.lists(known | st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=25).map(
        "".join
    )


any_text = _texts(_WORDS, _MARKUP, _MARKDOWN, _PLACEHOLDERS) | _texts(_WORDS, _MARKUP) | _texts(_WORDS, _MARKDOWN)
any_text |= _texts(_WORDS, _PLACEHOLDERS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
formats = st.sampled_from([None, "text", "html", "markdown"])
languages = st.sampled_from(
    [("en", "de"), ("en", "zh"), ("zh", "en"), ("ja", "en"), ("hi", "en"), ("en", "ar"), ("ru", "fr")]
)
models = st.builds(
    identity_model,
    placeholders=st.sampled_from(["copy", "split"]),
    unit=st.sampled_from(["sentence", "text"]),
    context=st.sampled_from([12, 40, 512]),
)


def cleaned(text: str) -> str:
    return unicodedata.normalize("NFC", _CONTROL.sub("", text))


@given(any_text, formats, languages, models, st.sampled_from([0, 1]))
def test_a_text_comes_back_as_it_was_but_for_the_documented_cleaning(text, format_, pair, model, attempt) -> None:  # type: ignore[no-untyped-def]
    source, target = pair
    found = translation(model, text, attempt=attempt, source=source, target=target, format=format_)
    assert found == cleaned(text)


@given(any_text, formats, models)
def test_whatever_a_model_answers_all_but_the_words_stays(text, format_, model) -> None:  # type: ignore[no-untyped-def]
    """Each sentence gets brackets, so that nothing is put back just because it did not change."""
    found = translation(model, text, lambda sentence: f"⟦{sentence}⟧", attempt=1, format=format_)
    if found is not None:  # otherwise the brackets made a placeholder of words, and the item fails by name
        assert _characters(found) == _characters(cleaned(text))
        assert format_ != "text" or _n_lines(found) == _n_lines(text)


def _characters(text: str) -> str:
    """All that is seen of a text. A translation may write blanks, references and Markdown's escapes in its own way."""
    unseen = r"[⟦⟧\s\\\p{Default_Ignorable_Code_Point}]"
    seen: str = regex.sub(unseen, "", html.unescape(html.unescape(regex.sub(unseen, "", text))))
    return seen


def _n_lines(text: str) -> int:
    return len(cleaned(text).splitlines())


@pytest.mark.parametrize("text", ["x y z x y z x y z", "\ue000 \ue001", "x y z " * 50])
def test_marks_that_a_model_invents_are_dropped(text: str) -> None:
    model = identity_model(placeholders="copy")
    found = translation(model, "Go home", lambda _: "\ue000 Geh \ue001 heim", attempt=0)
    assert found is not None and "\ue000" not in found
    assert translation(model, text, attempt=0) == text
