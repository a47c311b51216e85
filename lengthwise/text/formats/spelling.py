"""Writes translated words as the source writes its own, so that no word becomes a tag or other markup."""

import html
import re
from collections.abc import Iterable, Mapping

from lengthwise.text.formats.visible import Piece

HTML_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
MARKDOWN_ESCAPES = {char: f"\\{char}" for char in "\\`*_[]"} | {"<": "&lt;"}
CELL_ESCAPES = MARKDOWN_ESCAPES | {"|": "\\|"}

#: Whether one of these is safe if it is bare depends on what follows.
_CONTEXTUAL = frozenset("&<\\")
#: Where it is safe, or may be.
_CONTEXT = re.compile(r"(&#?\w*+;?|<(?=[\s\d=-])|\\(?=[^!-/:-@\[-`{-~\n]))")


class Spelling:
    """How one passage writes characters that mean something in its format, or that it wrote as references.

    A character is written bare only if the passage wrote it bare each time and if that is safe where it stands.
    ``escapes`` says how these characters are written otherwise, such as ``<`` as ``&lt;``.
    """

    def __init__(self, pieces: Iterable[Piece], escapes: Mapping[str, str]) -> None:
        written: dict[str, str] = {}
        plain: set[str] = set()
        for raw, text in pieces:
            if raw == text:
                plain.update(text)
            elif len(text) == 1 and text != " ":
                written.setdefault(text, _whole(raw))
        own = {char: raw for char, raw in written.items() if char not in plain or char in escapes or _is_mark(raw)}
        bare = {char for char in escapes if char in plain and char not in written}
        if "&" not in escapes:  # Markdown has bare ampersands everywhere
            own, bare = {"&": "&amp;"} | own, bare if "&" in written else bare | {"&"}
        table = {char: to for char, to in {**escapes, **own}.items() if char not in bare - _CONTEXTUAL}
        self._table = str.maketrans(table)
        self._bare = bare & _CONTEXTUAL

    def encode(self, words: str) -> str:
        """``words`` in the source's format. What comes out has no live tag, whatever the words are."""
        if not self._bare:
            return words.translate(self._table)
        return "".join(
            self._bare_or_escaped(part) if index % 2 else part.translate(self._table)
            for index, part in enumerate(_CONTEXT.split(words))
        )

    def _bare_or_escaped(self, part: str) -> str:
        is_safe = part[0] in self._bare and (part[0] != "&" or html.unescape(part) == part)
        return (part[0] if is_safe else part[0].translate(self._table)) + part[1:].translate(self._table)


def _whole(raw: str) -> str:
    """How a character is written again: as before, but safe whatever follows, and whatever reads it."""
    if raw == "\\<":
        return "&lt;"
    return raw if raw[0] == "\\" or raw[-1] == ";" else f"{raw};"


def _is_mark(raw: str) -> bool:
    """Whether it is a backslash before what may mean something in Markdown, as in ``\\!`` before a link."""
    return raw[0] == "\\" and raw[1] not in ".,;:?|'\""


_PLAIN_HTML = Spelling([], HTML_ESCAPES)


def of_html(pieces: list[Piece]) -> Spelling:
    """The spelling of a passage in HTML. Most passages have neither references nor special characters."""
    is_plain = all(raw == text and "&" not in raw and "<" not in raw and ">" not in raw for raw, text in pieces)
    return _PLAIN_HTML if is_plain else Spelling(pieces, HTML_ESCAPES)


#: A bracket that would end the text of a link, where brackets are written bare.
_LINK_END = re.compile(r"(?<!\\)((?:\\\\)*+)\](?=[(\[])")
#: What would begin a block at the start of a line: an item, a heading, a quote, a fence, the line below a heading, or
#: the definition of a link.
_BLOCK_START = re.compile(
    r"(\s*+\d{0,9}+)(?="
    r"(?<=\d)[.)](?:\s|\Z)"
    r"|(?<!\d)(?:[-+*](?:\s|\Z)|#{1,6}(?:\s|\Z)|>|~~~|`{3,}+[^`]*+\Z|-++\s*+\Z|=++\s*+\Z|\[[^\[\]]*+\]:))"
)
_LINE_ENDS = re.compile(r"[ \t]*+[\r\n]\s*+")


class MarkdownSpelling(Spelling):
    """The spelling of a passage in Markdown. If it ``begins_line``, no translation of it can begin a block there."""

    def __init__(self, pieces: list[Piece], escapes: Mapping[str, str], begins_line: bool) -> None:
        super().__init__(pieces, escapes)
        self._begins_line = begins_line

    def encode(self, words: str) -> str:
        encoded = _LINK_END.sub(r"\1\\]", super().encode(_LINE_ENDS.sub(" ", words)))
        start = _BLOCK_START.match(encoded) if self._begins_line else None
        if not start:
            return encoded
        rest = encoded[start.end() :]
        ticks = len(rest) - len(rest.lstrip("`"))  # behind a backslash they could still end a code span
        return start[1] + "&#96;" * ticks + rest[ticks:] if ticks else f"{start[1]}\\{rest}"
