"""Reads a text as HTML, token by token, by the rules of the HTML standard. No character of the text is lost.

Pure, and linear in the text's length. Every text is HTML to this reader: whether ``<`` begins a tag is decided as
browsers decide it, so ``a < b`` holds no tag.
"""

import re
from enum import Enum, auto
from typing import Any, NamedTuple

from turbohtml import Tokenizer, TokenType


class TokenKind(Enum):
    #: Characters that a reader sees, or the content of an element such as ``script``.
    TEXT = auto()
    #: A character reference, such as ``&eacute;``.
    REFERENCE = auto()
    START_TAG = auto()
    END_TAG = auto()
    COMMENT = auto()
    #: A doctype, a processing instruction, or a CDATA section.
    DECLARATION = auto()
    #: A tag or comment that begins at the text's end and is not closed. Browsers show nothing of it.
    UNFINISHED = auto()


class MarkupToken(NamedTuple):
    """One token. The ``raw`` of all tokens, joined, is the text that was read."""

    kind: TokenKind
    raw: str
    #: What a browser makes of it: the characters of a text or reference; the content of a comment.
    text: str = ""
    #: The name of a tag, in lower case.
    name: str = ""
    #: The attributes of a start tag, in order, with references resolved. Without a value it is empty.
    attributes: tuple[tuple[str, str], ...] = ()


_NEWLINE = re.compile(r"\r\n?|\n")
_KINDS = {
    TokenType.TEXT: TokenKind.TEXT,
    TokenType.CHARACTER_REFERENCE: TokenKind.REFERENCE,
    TokenType.START_TAG: TokenKind.START_TAG,
    TokenType.END_TAG: TokenKind.END_TAG,
    TokenType.COMMENT: TokenKind.COMMENT,
}

#: ``</>`` is nothing to a browser, and the tokenizer gives no token for it. It gives one for this comment, as long.
_NOTHING = "<!>"


def tokens(text: str) -> list[MarkupToken]:
    """The tokens of ``text``. Raises nothing, whatever the text is."""
    reader = Tokenizer(resolve_references=False, capture_source=True)
    found = list(reader.feed(text.replace("</>", _NOTHING)))
    reader.close()
    found += list(reader)
    places = _Places(text)
    made: list[MarkupToken] = []
    for token in found:
        if ignored := places.before(token):
            made.append(MarkupToken(TokenKind.COMMENT, ignored))
        made += _divided(_token(token, places.take(token)))
    if rest := places.rest():
        made.append(MarkupToken(TokenKind.UNFINISHED, rest))
    return made


def _token(token: Any, raw: str) -> MarkupToken:
    kind = _KINDS.get(token.type, TokenKind.DECLARATION)
    attributes = tuple((name, value or "") for name, value in token.attrs or ())
    return MarkupToken(kind, raw, token.data or "", token.tag or "", attributes)


def _divided(token: MarkupToken) -> list[MarkupToken]:
    """A reference without its semicolon, apart from the letters after it: ``&copyright`` is ``©`` and ``right``."""
    if token.kind is not TokenKind.REFERENCE or token.raw.endswith(";") or not (rest := token.text[1:]):
        return [token]
    at = len(token.raw) - len(rest)
    return [MarkupToken(TokenKind.REFERENCE, token.raw[:at], token.text[:1]), MarkupToken(TokenKind.TEXT, rest, rest)]


class _Places:
    """Finds each token's characters. HTML reads ``\\r\\n`` and ``\\r`` as one newline, and ignores ``</>``."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._has_returns = "\r" in text
        self._ignores = "</>" in text
        self._lines = [0, *(newline.end() for newline in _NEWLINE.finditer(text))] if self._ignores else []

    def before(self, token: Any) -> str:
        """What the reader ignored before this token."""
        if not self._ignores:
            return ""
        start, self._at = self._at, self._lines[token.line - 1] + token.col
        return self._text[start : self._at]

    def take(self, token: Any) -> str:
        start, read = self._at, token.source or token.data or ""
        is_exact = not self._has_returns and (not self._ignores or token.source is not None)
        self._at = start + len(read) if is_exact else self._end(read)
        return self._text[start : self._at]

    def _end(self, read: str) -> int:
        at = self._at
        for index, char in enumerate(read):
            while self._text.startswith("</>", at) and not read.startswith("</>", index):
                at += 3
            at += 2 if char == "\n" and self._text.startswith("\r\n", at) else 1
        return at

    def rest(self) -> str:
        return self._text[self._at :]
