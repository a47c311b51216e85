"""Reading a text as HTML, token by token."""

from hypothesis import given
from hypothesis import strategies as st

from lengthwise.text.markup import TokenKind, tokens

_PIECES = ["<p>", "</p>", "<script>", "</script>", "<style>", "<!--", "-->", "&amp;", "&#x41;", "&#65", "&copy=1", "a"]
_PIECES += ["<b x='", '<b x="', "'", '"', ">", "<", "/", "<textarea>", "</textarea>", "<svg>", "<![CDATA[", "]]>", "é"]
_PIECES += [
    "<plaintext>",
    "<title>",
    "\r\n",
    "\r",
    "\n",
    "<?php",
    "?>",
    "<!DOCTYPE html>",
    "</>",
    "\x85",
    "\x00",
    "😀",
    "&",
]
markup = st.lists(st.sampled_from(_PIECES) | st.characters(codec="utf-8"), max_size=30).map("".join)


@given(markup)
def test_no_character_is_lost(text: str) -> None:
    assert "".join(token.raw for token in tokens(text)) == text


@given(markup.filter(lambda text: not set(text) & {"\r", "\0"}))
def test_each_token_has_its_own_characters(text: str) -> None:
    for token in tokens(text):
        if token.kind is TokenKind.TEXT:
            assert token.text.replace("<!>", "</>") == token.raw.replace("<!>", "</>")
        elif token.kind is not TokenKind.UNFINISHED:
            assert token.raw[0] in "<&"


def test_tags_attributes_references_and_comments_are_told_apart() -> None:
    found = tokens("<p class='x' hidden>a &lt; b<!-- c --></p><br/>")
    assert [(token.kind, token.text or token.name) for token in found] == [
        (TokenKind.START_TAG, "p"),
        (TokenKind.TEXT, "a "),
        (TokenKind.REFERENCE, "<"),
        (TokenKind.TEXT, " b"),
        (TokenKind.COMMENT, " c "),
        (TokenKind.END_TAG, "p"),
        (TokenKind.START_TAG, "br"),
    ]
    assert found[0].attributes == (("class", "x"), ("hidden", ""))


def test_a_tag_that_is_not_closed_is_named_and_kept() -> None:
    assert [(token.kind, token.raw) for token in tokens("a <b x='1")] == [
        (TokenKind.TEXT, "a "),
        (TokenKind.UNFINISHED, "<b x='1"),
    ]


def test_a_smaller_sign_before_a_blank_is_text() -> None:
    assert [token.kind for token in tokens("a < b and 1 <2")] == [TokenKind.TEXT]


def test_an_end_tag_without_a_name_shifts_no_other_token() -> None:
    found = tokens("</>a</>b<i x='</>'></></i>c</>")
    assert [(token.kind, token.raw) for token in found] == [
        (TokenKind.COMMENT, "</>"),
        (TokenKind.TEXT, "a"),
        (TokenKind.COMMENT, "</>"),
        (TokenKind.TEXT, "b"),
        (TokenKind.START_TAG, "<i x='</>'>"),
        (TokenKind.COMMENT, "</>"),
        (TokenKind.END_TAG, "</i>"),
        (TokenKind.TEXT, "c"),
        (TokenKind.COMMENT, "</>"),
    ]


@given(markup)
def test_a_tag_is_cut_out_whole(text: str) -> None:
    for token in tokens(text):
        if token.kind in (TokenKind.START_TAG, TokenKind.END_TAG):
            assert token.raw.startswith("<")
            assert token.raw.endswith(">")


def test_letters_after_a_reference_without_semicolon_are_text() -> None:
    assert [(token.kind, token.raw, token.text) for token in tokens("&copyright &amp;x")] == [
        (TokenKind.REFERENCE, "&copy", "©"),
        (TokenKind.TEXT, "right", "right"),
        (TokenKind.TEXT, " ", " "),
        (TokenKind.REFERENCE, "&amp;", "&"),
        (TokenKind.TEXT, "x", "x"),
    ]
