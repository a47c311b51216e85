"""Reads HTML in passages. Tags, comments, code and what is marked as not to be translated are kept."""

import re
import unicodedata
from bisect import bisect

from lengthwise.text.formats import element, escaped, spelling
from lengthwise.text.formats.document import BULLET, Builder
from lengthwise.text.formats.message import messages
from lengthwise.text.formats.open_element import OpenElements
from lengthwise.text.formats.visible import Piece, joined
from lengthwise.text.markup import MarkupToken, TokenKind, tokens
from lengthwise.text.part import Document, Kept, Part, Run

#: White space that is more than one blank. A browser shows the first four characters as one blank.
_SPACE = re.compile(r"[ \t\n\r\f]{2,}|[\t\n\r\f]|[\v\x1c-\x1e\x85\u2028\u2029]")
_FLOWING = frozenset(" \t\n\r\f")
#: The same where line breaks are seen.
_SEEN_SPACE = re.compile(r"\s{3,}|\s*[\t\n\r\f\v\x1c-\x1e\x85\u2028\u2029]\s*")
_LINE_END = re.compile(r"\r\n|[\r\n]")


def read(text: str) -> Document:
    """The passages of an HTML text, and what is kept between them.

    Words belong together up to the next tag of a block, such as ``<p>`` or ``<br>``, or to the next blank line. In
    ``<pre>`` and ``<textarea>``, and in a text that has no block at all, each line is a passage.
    """
    found = tokens(text)
    reader = _HtmlReader(has_blocks=any(token.name in element.LAYOUT for token in found))
    for token in found:
        reader.take(token)
    return reader.end()


class _HtmlReader:
    def __init__(self, has_blocks: bool) -> None:
        self._document = Builder()
        self._open = OpenElements()
        self._has_blocks = has_blocks
        #: The passage that is being read: its parts, the run at its end, and the pieces of all its runs.
        self._parts: list[Part] = []
        self._pieces: list[Piece] = []
        self._spelled: list[Piece] = []
        self._has_code = False

    def end(self) -> Document:
        self._end_passage()
        return self._document.end()

    def take(self, token: MarkupToken) -> None:
        was_kept = self._open.is_kept
        if token.kind is TokenKind.START_TAG:
            self._open.start(token)
        elif token.kind is TokenKind.END_TAG:
            self._open.end(token.name)
        if token.name in element.BLOCK and not (was_kept and self._open.is_kept):
            self._break(token.raw)
        elif self._open.is_kept or was_kept:
            self._keep(token.raw)
            self._has_code = True
        elif token.kind is TokenKind.TEXT:
            self._take_words(token.raw)
        elif token.kind is TokenKind.REFERENCE and not _is_control(token.text):
            self._pieces.append(Piece(token.raw, token.text))
        else:
            self._keep(token.raw)

    def _take_words(self, raw: str) -> None:
        shows_lines = not self._has_blocks or self._open.is_preformatted
        at = 0
        for start, end in _spaces(raw, shows_lines):
            space = raw[start:end]
            self._add(Piece(raw[at:start], raw[at:start]))
            if shows_lines or not _FLOWING.issuperset(space) or len(_LINE_END.findall(space)) > 1:
                self._break(space)
            else:
                self._add(Piece(space, " "))
            at = end
        self._add(Piece(raw[at:], raw[at:]))

    def _add(self, piece: Piece) -> None:
        if piece.raw:
            self._pieces.append(piece)

    def _keep(self, raw: str) -> None:
        """Keeps ``raw`` within the passage."""
        self._end_run()
        self._parts.append(Kept(raw))

    def _break(self, raw: str) -> None:
        """Ends the passage, and keeps ``raw`` after it."""
        self._end_passage()
        self._document.keep(raw)

    def _end_run(self) -> None:
        if self._pieces:
            parts = escaped.parts(joined(self._pieces))
            self._has_code |= any(isinstance(part, Kept) for part in parts)
            self._parts += parts
            self._spelled += self._pieces
            self._pieces = []

    def _end_passage(self) -> None:
        self._end_run()
        if self._parts:
            self._take_bullet()
            encode = spelling.of_html(self._spelled).encode
            self._document.passage(self._parts, encode, has_code=self._has_code)
            self._parts, self._spelled, self._has_code = [], [], False

    def _take_bullet(self) -> None:
        if isinstance(first := self._parts[0], Run) and (bullet := BULLET.match(first.text)):
            self._document.keep(first.slice(0, bullet.end()).raw)
            self._parts[0] = first.slice(bullet.end(), len(first.text))


def _spaces(raw: str, shows_lines: bool) -> list[tuple[int, int]]:
    """Where white space begins and ends that is more than one blank. Where lines are seen, messages are left whole."""
    if not shows_lines:
        return [found.span() for found in _SPACE.finditer(raw)]
    inner = messages(raw)
    ends = [end for _, end in inner]
    spans = [found.span() for found in _SEEN_SPACE.finditer(raw)]
    if not inner:
        return spans
    return [span for span in spans if (at := bisect(ends, span[0])) == len(ends) or span[0] < inner[at][0]]


def _is_control(text: str) -> bool:
    """Whether a reference stands for a line break, or for a character without a meaning of its own, such as an icon."""
    return unicodedata.category(text[0]) in ("Cc", "Co")
