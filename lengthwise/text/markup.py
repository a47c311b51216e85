"""Reads a text as HTML, token by token, by the rules of the HTML standard. No character of the text is lost.

Pure, and linear in the text's length. Every text is HTML to this reader: whether ``<`` begins a tag is decided as
browsers decide it, so ``a < b`` holds no tag.
"""

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
    made = [each for token in found for each in _divided(_token(token, places.take(token.source or token.data or "")))]
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
    """Finds each token's characters in the text. HTML reads ``\\r\\n`` and ``\\r`` as one newline."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._has_returns = "\r" in text

    def take(self, read: str) -> str:
        start = self._at
        self._at = self._end(read) if self._has_returns else start + len(read)
        return self._text[start : self._at]

    def _end(self, read: str) -> int:
        at = self._at
        for char in read:
            at += 2 if char == "\n" and self._text.startswith("\r\n", at) else 1
        return at

    def rest(self) -> str:
        return self._text[self._at :]
