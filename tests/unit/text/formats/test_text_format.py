"""Which format a text seems to have."""

import pytest

from lengthwise.text.formats import TextFormat, guess

TEXTS = [
    "I ate an apple.",
    "",
    "AT&T and R&D",
    "https://a.b/?a=1&copy=2&lt=3",
    "a < b and c > d",
    "if a<b and c>d",
    "Hello <name>, <user_id>!",
    "Enter the <title> and the <address>",
    "List<String> and Vec<u8>",
    "a <b and c> d",
    "I <3 you",
    "&foo; &bar",
    "- a",
    "* a",
    "1. a",
    "- a\n- b\n- c",
    "_x_",
    "5 * 3 * 2",
    "2**3 and 4**5",
    "*important*",
    "# 1 in sales",
    "#hashtag and #another",
    "# a comment\nkey = 1",
    "one\n\n\n\ntwo",
    "array[i](x) and f[0](y)",
    "[x] (y) and [[z]]",
    "%[1]s(a) [ok]",
    "``quoted'' and `quoted'",
    "o`zbek va g`alaba",
    "a | b | c",
    "Title\n-----\nText",
    "-------- | nothing",
    "{count, plural, one {# file} other {# files}}",
    "Name:    %s\nAge:     %d\n",
    "> quoted mail\n> more",
    "x &\ny",
    "<<EOF\n>>",
    "^[a-z]+$",
    "__init__ and __name__",
]
HTML = [
    "<p>a</p>",
    "<p>a",
    "a<br>b",
    "a<br/>b",
    "Click <b>here</b>",
    "Click <a href='x'>here",
    "<!-- wp:paragraph -->a",
    "<!DOCTYPE html>",
    "Fish &amp; chips",
    "Caf&eacute;",
    "It&#39;s &#x41;",
    "I ate an apple. &lt;img src=x onerror=alert(1)&gt;",
    "<code>&lt;div&gt;</code> is a tag",
    "<ul><li>a</li></ul>",
    "<P CLASS='x'>a</P>",
    "<input disabled> a",
    "Hi <name>, <em>you</em>",
    "<p>Use **caution** and [x](y)</p>",
    "<div>\n\n    <p>a `b` c</p>\n\n</div>\n",
    "<title>a</title>",
    "a</span> b",
    "one<hr />two",
]
MARKDOWN = [
    "- a\n  - b\n    - c",
    "```\nif x:\n    y = 1\n```",
    "```py\nx\n```",
    "# Title\n\nText",
    "Text\n\n## Title\n\nmore",
    "# A\n## B",
    "# A\r\n\r\nText",
    "See [the page](http://x.y).",
    'See [it](x "T")',
    "![alt](a.png)",
    "[![a](b)](c)",
    "[a](b_(c))",
    "| a | b |\n|---|---|\n| c | d |",
    "a | b\n- | -\nc | d",
    "1. a\n   - b",
    "This is **bold**.",
    "这是**重点**内容",
    "Run `make test` now",
    "Use `&lt;` or <br> in **it**",
    '<p align="center"><img src="a"></p>\n\n# Title\n\nText',
    "* a\n    1. b",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, TextFormat.TEXT) for text in TEXTS),
        *((text, TextFormat.HTML) for text in HTML),
        *((text, TextFormat.MARKDOWN) for text in MARKDOWN),
    ],
)
def test_the_format_is_found_in_the_text(text: str, expected: TextFormat) -> None:
    assert guess(text) is expected


@pytest.mark.parametrize(
    "mark", ["[", "*", "**a", "`a", "<b a", "<!--", "&lt", "|", "#", "\n", " -\n", "[a](", "- a\n"]
)
def test_marks_alone_are_plain_text_however_many_there_are(mark: str) -> None:
    assert guess(mark * 10_000) is TextFormat.TEXT
