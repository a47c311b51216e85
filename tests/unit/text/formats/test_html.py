"""Reading HTML in passages."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.text.formats import TextFormat
from lengthwise.text.markup import TokenKind, tokens
from tests.unit.text.formats.reading import html_texts, passages, runs, shown, translated

_UNSEEN = re.compile("[\u00ad\u200b\ufeff]")


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("<p>I ate an apple.</p><p>I ate an apple.</p>", "<p>«I ate an apple.»</p><p>«I ate an apple.»</p>"),
        ("<ul><li>I ate an apple.</li></ul>", "<ul><li>«I ate an apple.»</li></ul>"),
        ("I ate an apple.<br>I ate an apple.", "«I ate an apple.»<br>«I ate an apple.»"),
        ('Click <span class="price">here</span> now.', '«Click ‹<span class="price">›here‹</span>› now.»'),
        (
            "<!-- wp:paragraph --><p>I ate an apple.</p><!-- /wp:paragraph -->",
            "<!-- wp:paragraph --><p>«I ate an apple.»</p><!-- /wp:paragraph -->",
        ),
        (
            "I ate an apple. &lt;img src=x onerror=alert(1)&gt;",
            "«I ate an apple. ‹&lt;img src=x onerror=alert(1)&gt;›»",
        ),
        (
            "Use &lt;p&gt; for paragraphs and &lt;b&gt; for bold.",
            "«Use ‹&lt;p&gt;› for paragraphs and ‹&lt;b&gt;› for bold.»",
        ),
        ("<code>&lt;div&gt;</code> is a tag", "«‹<code>&lt;div&gt;</code>› is a tag»"),
        # references
        ("Caf&eacute; &amp; bar", "«Café & bar»"),
        ("&ldquo;Hi&rdquo;&#33; &#x41;b", "«“Hi”! Ab»"),
        ("AT&T, R&D, ?a=1&b=2", "«AT&T, R&D, ?a=1&b=2»"),
        ("a &lt; b, 1 < 2, x &gt; y", "«a < b, 1 < 2, x > y»"),
        ("Show &amp;lt;b&amp;gt; here", "«Show ‹&amp;lt;›b‹&amp;gt;› here»"),
        ("a&lt;b and c&gt;d", "«a<b and c>d»"),
        ("&lt;!-- note --&gt; Text", "«‹&lt;!-- note --&gt;› Text»"),
        ("&nbsp;Text&nbsp;", "&nbsp;«Text»&nbsp;"),
        ("Sta&shy;tion &zwnj;", "«Station \u200c»"),
        ("a&#xE000;b &#10; c", "«a‹&#xE000;›b ‹&#10;› c»"),
        # blocks and inline elements
        ("<p><b>Sale</b></p>", "<p><b>«Sale»</b></p>"),
        ("<p><b>Note:</b> the <i>end</i></p>", "<p>«‹<b>›Note:‹</b>› the ‹<i>›end‹</i>›»</p>"),
        ("<p> <span> Hello </span> </p>", "<p> <span> «Hello» </span> </p>"),
        ("<table><tr><td>a<td>b</table>", "<table><tr><td>«a»<td>«b»</table>"),
        ("<select><option>Red<option>Blue</select>", "<select><option>«Red»<option>«Blue»</select>"),
        ("<title>a &amp; b</title><h1>T</h1>", "<title>«a & b»</title><h1>«T»</h1>"),
        ("<my-card>One</my-card> <g id='1'>two</g> more", "«‹<my-card>›One‹</my-card>› ‹<g id='1'>›two‹</g>› more»"),
        ("Icon <img src='a.png' alt='An icon'> here", "«Icon ‹<img src='a.png' alt='An icon'>› here»"),
        ("<button>Save</button><button>Cancel</button>", "<button>«Save»</button><button>«Cancel»</button>"),
        ("<P>One<BR/>two</P>", "<P>«One»<BR/>«two»</P>"),
        ("one<!-- a > b -->two", "«one‹<!-- a > b -->›two»"),
        # kept with their content
        ("<script>if (a < b) say('x')</script><p>Text</p>", "<script>if (a < b) say('x')</script><p>«Text»</p>"),
        ("<style>p { color: red }</style>Text", "<style>p { color: red }</style>«Text»"),
        ("Press <kbd>Ctrl</kbd> now", "«Press ‹<kbd>Ctrl</kbd>› now»"),
        ("<svg><title>x</title><text>y</text></svg>", "<svg><title>x</title><text>y</text></svg>"),
        ('Buy <b translate="no">Big <i>One</i></b> now', '«Buy ‹<b translate="no">Big <i>One</i></b>› now»'),
        ("<div class='x notranslate'><p>a</p></div>b", "<div class='x notranslate'><p>a</p></div>«b»"),
        ("<ul><li translate=no>a<li>b</ul>", "<ul><li translate=no>a<li>«b»</ul>"),
        ("<div translate=no>a<p translate=yes>b</p>c</div>d", "<div translate=no>a<p translate=yes>«b»</p>c</div>«d»"),
        ("<code>a<p>b</code>c", "«‹<code>a<p>b</code>›c»"),
        (
            "<![CDATA[a]]><?php echo 1 ?><!DOCTYPE html><p>b</p>",
            "<![CDATA[a]]><?php echo 1 ?><!DOCTYPE html><p>«b»</p>",
        ),
        # white space
        ("<p>\n  I ate an\r\n  apple.\n</p>\n", "<p>\n  «I ate an apple.»\n</p>\n"),
        ("<div>\nOne\n\nTwo\n</div>", "<div>\n«One»\n\n«Two»\n</div>"),
        ("<pre>\n  one\n\n    two\n</pre>", "<pre>\n  «one»\n\n    «two»\n</pre>"),
        ("<textarea>\n one\n two</textarea>", "<textarea>\n «one»\n «two»</textarea>"),
        ("One <b>x</b>\n\n  Two\n", "«One ‹<b>›x‹</b>›»\n\n  «Two»\n"),
        ("- one &amp; two\n- three", "- «one & two»\n- «three»"),
        ("<p>a\u2028b</p>", "<p>«a»\u2028«b»</p>"),
        ("{n, plural,\n other {# &amp; files}}", "«{n, plural,»\n «other {# & files}}»"),
        ("&eacute; {n, plural,\n other {# files}}\nb", "«é {n, plural,\n other {# files}}»\n«b»"),
        # malformed
        ("a <b x='1", "«a» <b x='1"),
        ("</p>a</div>b</b>", "</p>«a»</div>«b»</b>"),
        ("<p>12 × 3</p><p>,</p>", "<p>12 × 3</p><p>,</p>"),
        ("", ""),
    ],
)
def test_words_are_passages_and_markup_is_kept(text: str, read_as: str) -> None:
    assert shown(text, TextFormat.HTML) == read_as


@pytest.mark.parametrize(
    ("text", "words", "written"),
    [
        ("Caf&eacute;", "Crème brûlée", "Crème brûl&eacute;e"),
        ("Caf&eacute; é", "é", "é"),
        ("It&#39;s &quot;it&quot;", 'C\'est "ça"', "C&#39;est &quot;ça&quot;"),
        ("10&nbsp;km", "10\u00a0Kilometer", "10&nbsp;Kilometer"),
        ("It's", "a & b <c> d", "a &amp; b &lt;c&gt; d"),
        ("x", "&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("x", "<script>", "&lt;script&gt;"),
        ("AT&T", "AT&T & Co", "AT&T & Co"),
        ("AT&T", "&lt; &copy &amp;", "&amp;lt; &amp;copy &amp;amp;"),
        ("AT&T &amp; Co", "AT&T", "AT&amp;T"),
        ("x < 2", "1 < 2 <b> <", "1 < 2 &lt;b&gt; &lt;"),
        ("a > b", "a > <b>", "a > &lt;b>"),
        ("a &#60; b", "<b>", "&#60;b&gt;"),
        ("x &lt 5", "< 5", "&lt; 5"),
    ],
)
def test_words_are_written_as_the_source_writes_them(text: str, words: str, written: str) -> None:
    (passage,) = passages(text, TextFormat.HTML)
    assert passage.encode(words) == written


def shown_by_browsers(text: str) -> list[tuple[str, ...]]:
    """What a browser makes of ``text``, but for white space and invisible characters."""
    found: list[tuple[str, ...]] = []
    for token in tokens(text):
        if token.kind not in (TokenKind.TEXT, TokenKind.REFERENCE):
            found.append((token.kind.name, token.raw))
        elif found and found[-1][0] == "words":
            found[-1] = ("words", found[-1][1] + token.text)
        else:
            found.append(("words", token.text))
    return [(kind, seen) for kind, raw in found if (seen := " ".join(_UNSEEN.sub("", raw).split()))]


@given(html_texts)
def test_the_words_written_back_are_the_same_page(text: str) -> None:
    assert shown_by_browsers(translated(text, TextFormat.HTML, str)) == shown_by_browsers(text)


@given(html_texts, st.sampled_from(["", "x", "<b>", "</p>", "<!--", "&lt;p&gt;", "a < b", "]]>", '"', "' onclick='"]))
def test_other_words_change_no_tag(text: str, words: str) -> None:
    def markup(page: str) -> list[str]:
        return [token.raw for token in tokens(page) if token.kind not in (TokenKind.TEXT, TokenKind.REFERENCE)]

    assert markup(translated(text, TextFormat.HTML, lambda _: words)) == markup(text)


@given(html_texts)
def test_a_model_reads_characters_and_no_references(text: str) -> None:
    for run in runs(text, TextFormat.HTML):
        assert run.text.split() == _UNSEEN.sub("", html.unescape(run.raw)).split()


@given(st.lists(st.sampled_from(["a", "b ", "&amp;", "&lt;", "&gt;", "&eacute;", "&quot;", "&nbsp;", "苹果"])))
def test_consistent_sources_are_written_as_they_were(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert translated(text, TextFormat.HTML, str) == text
