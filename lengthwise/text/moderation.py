"""What a moderator must read of a text: what a reader of the page sees, and whatever hides in its markup.

Each of these is a segment of its own, so that neither hides the other from a model. Nothing of a text is left out but
the syntax of tags and attributes that HTML knows. Pure, and linear in the text's length.
"""

from collections import deque
from typing import NamedTuple

from lengthwise.text import lookalike
from lengthwise.text.fold import fold, is_plain
from lengthwise.text.markup_view import view
from lengthwise.text.passage import has_several_words, passages, without_links
from lengthwise.text.traced import TracedText, joined

#: Markup within markup, such as an escaped tag, is read so many times. After that it is a text like any other.
_ROUNDS = 5
#: Further hidden texts, the shortest, are joined: an item has at most about as many prompts as a long text has windows.
_MAX_HIDDEN = 1024
#: Further texts with markup that were found in markup are joined and read together.
_MAX_VIEWS = 1024
#: Passages are in a segment already, with what surrounds them. They are not read by themselves beyond so many times the
#: text, which only texts have that were made for it.
_MAX_GROWTH = 4
_LEAST_GROWTH = 10_000
#: All segments together have at most so many times the text's characters, and so many more. Markup that people or
#: editors write stays far below it.
_MAX_SIZE = 6
_LEAST_SIZE = 2_000


class TooIntricate(ValueError):
    """The text's markup says the same again and again, so that reading all of it takes many times the text's size."""


class _Unread(NamedTuple):
    text: TracedText
    rounds: int
    is_hidden: bool


def segments(text: str) -> list[str]:
    """The segments of ``text``, what a reader sees first. None is blank, so a blank text has none.

    Raises ``TooIntricate``.
    """
    if is_plain(text) and (text.isascii() or lookalike.is_plain(text)):
        return [text] if text else []
    return [segment.text for segment in _SegmentReader(TracedText(text)).segments()]


def traced_segments(text: str) -> list[TracedText]:
    """The same, with the places in ``text`` from which they come. It takes longer. Raises ``TooIntricate``."""
    return _SegmentReader(TracedText.of(text)).segments()


class _SegmentReader:
    """Reads a text, and what it finds in it, until nothing is left to read."""

    def __init__(self, text: TracedText) -> None:
        self._whole = text
        self._unread = deque([_Unread(text, _ROUNDS, is_hidden=False)])
        self._late: list[_Unread] = []
        self._n_views = 0
        self._n_chars = 0
        self._n_kept = 0
        self._known: set[str] = set()
        self._seen: dict[str, TracedText] = {}
        self._hidden: dict[str, TracedText] = {}
        #: Hidden texts of one word, such as the name of a class.
        self._words: dict[str, TracedText] = {}

    def segments(self) -> list[TracedText]:
        self._read_all()
        hidden = [text for text in self._hidden.values() if text.text not in self._seen]
        words = [text for text in self._words.values() if text.text not in self._seen]
        if len(hidden) > _MAX_HIDDEN:
            hidden.sort(key=lambda text: -len(text.text))
        found = [*self._seen.values(), *hidden[:_MAX_HIDDEN]]
        if further := hidden[_MAX_HIDDEN:]:
            found.append(joined(" ", further, self._whole))
        if words:
            found.append(joined(" ", words, self._whole))
        return found

    def _read_all(self) -> None:
        while self._unread:
            while self._unread:
                self._read(self._unread.popleft())
            if self._late:
                late, self._late = self._late, []
                rounds = max(each.rounds for each in late)
                self._view(_Unread(joined(" ", [each.text for each in late], self._whole), rounds, is_hidden=True))

    def _read(self, unread: _Unread) -> None:
        unread = unread._replace(text=fold(unread.text))
        text = unread.text.text
        if not text or (unread.is_hidden and text in self._known):
            return
        if unread.is_hidden:
            self._known.add(text)
        if not unread.rounds or ("<" not in text and "&" not in text):
            self._finish(unread)
        elif self._n_views < _MAX_VIEWS or not unread.is_hidden:
            self._n_views += 1
            self._view(unread)
        else:
            self._late.append(unread)

    def _view(self, unread: _Unread) -> None:
        """Reads a text as HTML. What it holds is still to be read, in one round less."""
        text, rounds, is_hidden = unread
        found = view(text)
        self._unread += [_Unread(each, rounds - 1, True) for each in found.hidden]
        if found.as_written is not None:
            self._add(fold(found.as_written), is_hidden)
        if found.page.text == text.text:
            self._finish(unread)
        else:
            self._unread.append(_Unread(found.page, rounds - 1, is_hidden))

    def _finish(self, unread: _Unread) -> None:
        text, rounds, is_hidden = unread
        self._n_chars += len(text.text)
        if rounds and text.text and self._n_chars <= _MAX_GROWTH * len(self._whole.text) + _LEAST_GROWTH:
            self._unread += [_Unread(each, rounds - 1, True) for each in passages(text, is_hidden)]
            if (shown := without_links(text)).text != text.text:
                self._unread.append(_Unread(shown, rounds - 1, is_hidden))
        self._add(text, is_hidden)

    def _add(self, text: TracedText, is_hidden: bool) -> None:
        text = lookalike.unmasked(text)
        is_word = is_hidden and not has_several_words(text.text)
        found = self._words if is_word else self._hidden if is_hidden else self._seen
        if text.text not in found:
            found[text.text] = text
            self._n_kept += len(text.text)
            if self._n_kept > _MAX_SIZE * len(self._whole.text) + _LEAST_SIZE:
                raise TooIntricate
