"""The elements that are open at a place of an HTML text, and whether words there are translated."""

from collections import Counter
from typing import NamedTuple

from lengthwise.text.formats import element
from lengthwise.text.markup import MarkupToken


class _Open(NamedTuple):
    name: str
    is_kept: bool
    is_preformatted: bool


_ROOT = _Open("", False, False)


class OpenElements:
    """A stack of open elements. An end tag without its start tag changes nothing."""

    def __init__(self) -> None:
        self._stack = [_ROOT]
        self._counts: Counter[str] = Counter()

    @property
    def is_kept(self) -> bool:
        """Whether the content here is kept, by its element or by ``translate="no"`` or the class ``notranslate``."""
        return self._stack[-1].is_kept

    @property
    def is_preformatted(self) -> bool:
        """Whether a browser shows line breaks and blanks here as they are."""
        return self._stack[-1].is_preformatted

    def start(self, tag: MarkupToken) -> None:
        ended = element.ENDS.get(tag.name, ())
        while self._stack[-1].name in ended:
            self._pop()
        if tag.name in element.VOID or tag.raw.endswith("/>"):
            return
        above = self._stack[-1]
        is_preformatted = above.is_preformatted or tag.name in element.PREFORMATTED
        self._stack.append(_Open(tag.name, _is_kept(tag, above.is_kept), is_preformatted))
        self._counts[tag.name] += 1

    def end(self, name: str) -> None:
        if self._counts[name]:
            while self._pop() != name:
                pass

    def _pop(self) -> str:
        name = self._stack.pop().name
        self._counts[name] -= 1
        return name


def _is_kept(tag: MarkupToken, inherited: bool) -> bool:
    attributes = dict(tag.attributes)
    translate = attributes.get("translate")
    if tag.name in element.KEPT or "notranslate" in attributes.get("class", "").split():
        return True
    if translate is not None and translate.strip().lower() in ("no", "yes", ""):
        return translate.strip().lower() == "no"
    return inherited
