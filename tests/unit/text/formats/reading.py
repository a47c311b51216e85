"""Shows how a text is read, and puts it together again with other words."""

from collections.abc import Callable, Iterator

from hypothesis import strategies as st

from lengthwise.text.formats import TextFormat, read
from lengthwise.text.part import Kept, Passage, Run

_HTML = ["<p>", "</p>", "<b>", "</b>", "<br/>", "<code>", "</code>", "<pre>", "</pre>", "<script>", "</script>"]
_HTML += ["<svg>", "</svg>", "<title>", "<textarea>", "</textarea>", "<li translate=no>"]
_HTML += ["<span class='notranslate'>", "</span>", "<!--", "-->", "<![CDATA[", "]]>", "<?php", "?>"]
_HTML += ["<!DOCTYPE html>", "<x", "</", "<", ">", "<b x='", "'", '"', "&amp;", "&lt;", "&gt;", "&lt;p&gt;"]
_HTML += ["&amp;lt;", "&eacute;", "&nbsp;", "&#10;", "&#xE000;", "&copy", "&", ";"]
_MARKDOWN = ["# ", "#", "> ", "- ", "* ", "1. ", "    ", "\t", "```", "~~~", "`", "``", "*", "**", "_", "~~", "[", "]"]
_MARKDOWN += ["](", ")", "![", "[x](y)", "[ref]: /u 'T'\n", "[ref]", "][ref]", "[^1]", "[ ] ", "|", "|---|\n", "\\"]
_MARKDOWN += ["\\*", "\\|", "---", "===", "  \n", "\\\n", "<http://a.b>", "<kbd>", "</kbd>", "<div>", "</div>", "---\n"]
_MARKDOWN += ["a: b\n", "\n\n"]
_BOTH = ["a", "word", "é", "苹果", " ", "   ", "\n", "\r\n", "\r", "\u0085", "\u2028", "\u000b", "\u00ad", "\u200b"]
_BOTH += ["\u200d", "😀", "\ufeff", "\u00a0", "\u3000", "A. ", "1", "\u0000", "\ue000"]

html_texts = st.lists(st.sampled_from(_HTML + _BOTH), max_size=25).map("".join)
markdown_texts = st.lists(st.sampled_from(_MARKDOWN + _BOTH), max_size=25).map("".join)
texts = (
    st.lists(st.sampled_from(_HTML + _MARKDOWN + _BOTH), max_size=25).map("".join)
    | html_texts
    | markdown_texts
    | st.text(st.characters(codec="utf-8"))
)


def passages(text: str, format_: TextFormat) -> list[Passage]:
    return [part for part in read(text, format_) if isinstance(part, Passage)]


def runs(text: str, format_: TextFormat) -> Iterator[Run]:
    for passage in passages(text, format_):
        yield from (part for part in passage.parts if isinstance(part, Run))


def shown(text: str, format_: TextFormat) -> str:
    """The text with each passage in « », what is kept within it in ‹ ›, and the words as a model reads them."""
    return "".join(part.raw if isinstance(part, Kept) else f"«{_inner(part)}»" for part in read(text, format_))


def _inner(passage: Passage) -> str:
    return "".join(part.text if isinstance(part, Run) else f"‹{part.raw}›" for part in passage.parts)


def translated(text: str, format_: TextFormat, translate: Callable[[str], str]) -> str:
    """The text with the words of each run translated and written in its format. A run without a letter is kept."""
    return "".join(
        part.raw if isinstance(part, Kept) else "".join(_translated(part, translate)) for part in read(text, format_)
    )


def _translated(passage: Passage, translate: Callable[[str], str]) -> Iterator[str]:
    for part in passage.parts:
        if isinstance(part, Run) and any(map(str.isalpha, part.text)):
            yield passage.encode(translate(part.text))
        else:
            yield part.raw
