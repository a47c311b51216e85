"""Reading Markdown in passages."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lengthwise.text.formats import TextFormat, read
from tests.unit.text.formats.reading import markdown_texts, passages, shown, translated

_PAGE = MarkdownIt("commonmark").enable("table")


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("- a\n  - b\n    - c", "- «a»\n  - «b»\n    - «c»"),
        ("```\nif x:\n    y = 1\n```", "```\nif x:\n    y = 1\n```"),
        ("one\n\n\n\ntwo", "«one»\n\n\n\n«two»"),
        ("# Title\n\nText", "# «Title»\n\n«Text»"),
        ("## Title ##\n", "## «Title» ##\n"),
        ("# # #", "# # #"),
        ("## # x", "## «# x»"),
        ("Title\n=====\nText\n", "«Title»\n=====\n«Text»\n"),
        ("Text\n***\nmore", "«Text»\n***\n«more»"),
        ("~~~ py\nx\n~~~\nText", "~~~ py\nx\n~~~\n«Text»"),
        ("Text\n\n    code\n\nmore", "«Text»\n\n    code\n\n«more»"),
        ("1. one\n2. two\n   more\n\n   last", "1. «one»\n2. «two more»\n\n   «last»"),
        ("- [ ] one\n- [x] two", "- [ ] «one»\n- [x] «two»"),
        ("> quote\n> more\nlazy", "> «quote more lazy»"),
        ("> [!NOTE]\n> Read\n> this", "> [!NOTE]\n> «Read this»"),
        ("> [!TIP]  \r\n> **Read**\r\n", "> [!TIP]  \r\n> **«Read»**\r\n"),
        ("> [!NOTE]\n", "> [!NOTE]\n"),
        ("> [!NOTE]\n>\n> a", "> [!NOTE]\n>\n> «a»"),
        ("> [!NOTE] here", "> «[!NOTE] here»"),
        ("> - one\n>   two\n> - three", "> - «one two»\n> - «three»"),
        ("one\ntwo\r\nthree", "«one two three»"),
        ("one  \ntwo\\\nthree", "«one‹  \n›two‹\\\n›three»"),
        ("-\tone\n\n\ttwo", "-\t«one»\n\n\t«two»"),
        # tables
        ("| a | b |\n|---|:-:|\n| c | 1 |", "| «a» | «b» |\n|---|:-:|\n| «c» | 1 |"),
        ("a|b\n-|-\nc \\| d|`x\\|y` z", "«a»|«b»\n-|-\n«c | d»|«‹`x\\|y`› z»"),
        ("> | a |\n> |---|\n> | *b* |", "> | «a» |\n> |---|\n> | *«b»* |"),
        # links, images, code
        ("See [the page](http://x.y 'T') now", "«See ‹[›the page‹](http://x.y 'T')› now»"),
        ("![A cat](cat.png) sits", "«‹![›A cat‹](cat.png)› sits»"),
        ("[![alt](a.png)](b)", "[![«alt»](a.png)](b)"),
        ("[a (b)](<c d> (e)) f", "«‹[›a (b)‹](<c d> (e))› f»"),
        ("[Ref] and [x][ref]\n\n[ref]: /u 'T'", "«‹[Ref]› and ‹[›x‹][ref]›»\n\n[ref]: /u 'T'"),
        ("[sic] and a[0], [x] (y)", "«[sic] and a[0], [x] (y)»"),
        ("A note[^1].\n\n[^1]: Its `text`", "«A note‹[^1]›.»\n\n[^1]: «Its ‹`text`›»"),
        ("Use `a  b` and ``c`d``", "«Use ‹`a  b`› and ‹``c`d``›»"),
        ("Use `a and b", "«Use `a and b»"),
        ("See <http://a.b/c> or <a@b.c>", "«See ‹<http://a.b/c>› or ‹<a@b.c>›»"),
        ("`code` is\n`more`", "«‹`code`› is ‹`more`›»"),
        # emphasis, escapes, references
        ("**bold**, *it*, __b__, _i_, ~~d~~", "«‹**›bold‹**›, ‹*›it‹*›, ‹__›b‹__›, ‹_›i‹_›, ‹~~›d‹~~›»"),
        ("**All bold**", "**«All bold»**"),
        ("snake_case_name 2 * 3 * 4 ~5", "«snake_case_name 2 * 3 * 4 ~5»"),
        ("***a** b*", "«‹***›a‹**› b‹*›»"),
        ("\\*not\\* 1\\. &eacute; &amp;", "«*not* 1. é &»"),
        ("这是**重点**。", "«这是‹**›重点‹**›。»"),
        # HTML
        (
            "<div>\n<p>One <b>two</b></p>\n</div>\n\n**x** y",
            "<div>\n<p>«One ‹<b>›two‹</b>›»</p>\n</div>\n\n«‹**›x‹**› y»",
        ),
        ("a <span class='x'>b</span><!-- c --> d", "«a ‹<span class='x'>›b‹</span><!-- c -->› d»"),
        ("Press <kbd>Ctrl</kbd> or <br> that", "«Press ‹<kbd>Ctrl</kbd>› or ‹<br>› that»"),
        ("Show &lt;b&gt; and \\<i\\>", "«Show ‹&lt;b&gt;› and ‹\\<i\\>›»"),
        ("> <div>a</div>\n\nb", "> <div>a</div>\n\n«b»"),
        ("> " * 90 + "a", "> " * 90 + "«a»"),
        ("> " * 100 + "a", "«" + "> " * 100 + "a»"),
        # the rest
        ("---\ntitle: x\n---\nHello", "---\ntitle: x\n---\n«Hello»"),
        ("---\nHello\n---\n", "---\n«Hello»\n---\n"),
        ("a\u2028b\u00adc", "«a‹\u2028›bc»"),
        ("  Text  \n", "  «Text»  \n"),
        ("12 × 3\n", "12 × 3\n"),
        ("", ""),
    ],
)
def test_words_are_passages_and_marks_are_kept(text: str, read_as: str) -> None:
    assert shown(text, TextFormat.MARKDOWN) == read_as


@pytest.mark.parametrize(
    ("text", "words", "written"),
    [
        ("\\*not bold\\*", "*nicht fett*", "\\*nicht fett\\*"),
        ("Text", "*a* _b_ [c](d) `e` \\f", "\\*a\\* \\_b\\_ \\[c\\](d) \\`e\\` \\\\f"),
        ("2 * x", "2 * y", "2 * y"),
        ("Text", "<script>&lt;", "&lt;script>&amp;lt;"),
        ("AT&T", "AT&T & Co", "AT&T & Co"),
        ("Caf&eacute;", "é", "&eacute;"),
        ("Text", "a\n\nb", "a b"),
        ("On October 1", "1. Oktober", "1\\. Oktober"),
        ("# On October 1", "1. Oktober", "1. Oktober"),
        ("Text", "- a", "\\- a"),
        ("Text", "# a", "\\# a"),
        ("Text", "> a", "\\> a"),
        ("Hi! [x]\\(y)", "[x](y)!", "[x]\\(y)!"),
        ("Oh! no\\!", "Oh!", "Oh\\!"),
        ("An [sic] word", "[x](y) ![x](y)", "[x\\](y) ![x\\](y)"),
        ("An [sic] word", "[x][y]", "[x\\][y]"),
        ("An [sic] word", "ein [sic] (Wort)", "ein [sic] (Wort)"),
        ("An [sic] word", "[x]: y", "\\[x]: y"),
        ("An [sic] word", "[^1]: y", "\\[^1]: y"),
        ("1\\. x. y", "1. a.", "1\\. a."),
        ("Text", "---", "\\---"),
        ("Text ` x", "```", "&#96;&#96;&#96;"),
        ("a \\< b", "<p>", "&lt;p>"),
        ("Text", "-5 °C and #1", "-5 °C and #1"),
        ("|x|\n|-|\n", "a|b", "a\\|b"),
        ("C:\\dir x", "D:\\dir \\*", "D:\\dir \\\\\\*"),
    ],
)
def test_words_are_written_so_that_none_becomes_a_mark(text: str, words: str, written: str) -> None:
    (passage,) = passages(text, TextFormat.MARKDOWN)
    assert passage.encode(words) == written


def page(text: str) -> list[str]:
    """What a browser shows of ``text``, but for white space."""
    rendered: str = _PAGE.render(text)
    return rendered.split()


@given(markdown_texts.map(lambda text: re.sub("[\0\u00ad\u200b\ufeff]", "", text)))
def test_the_words_written_back_are_the_same_page(text: str) -> None:
    assume(not re.search(r"(?s)<h\d>.*\|", _PAGE.render(text)))  # written in one line, it may be the head of a table
    assert page(translated(text, TextFormat.MARKDOWN, str)) == page(text)


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"])).map(str.strip))
def test_any_words_in_a_paragraph_stay_words(words: str) -> None:
    (passage,) = passages("Text", TextFormat.MARKDOWN)
    (_, paragraph, _) = _PAGE.parse(f"x {passage.encode(words)}")
    assert "".join(token.content for token in paragraph.children or []) == f"x {words}".rstrip()


@pytest.mark.parametrize(
    "mark", ["[", "*", "**a", "`", "`` ` ", ">", "(", "> ", "](", "<a b='", "<kbd>", "[](", "<!--"]
)
def test_hostile_text_is_read_without_loss(mark: str) -> None:
    text = mark * 5000
    assert "".join(part.raw for part in read(text, TextFormat.MARKDOWN)) == text
