"""Cleans a customer's text before a model sees it: to plain NFC, without invisible characters and markup.

Pure, and linear in the text's length. Knows nothing of models, jobs or placeholders. It only removes private use
characters, because ``placeholder`` uses them as marks.
"""

import html
import re
import unicodedata
from html.entities import html5

#: Matches an HTML or XML tag, without groups. Prose in angle brackets is no tag: an attribute needs a value, unless it
#: is one of HTML's attributes without value, so ``a <b and c> d`` stays. The pattern never reads past the next ``<``
#: and never backtracks, so it is linear.
TAG = (
    r"</?(?:[A-Za-z][\w:.-]*+|\d++)"
    r"(?:\s++(?:[^\s<>\"'=/]++\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+'|[^\s<>\"']++)"
    r"|(?:async|checked|controls|defer|disabled|download|hidden|loop|muted|nowrap|required|selected)\b))*+\s*+/?>"
)

_LINES = "br hr p div li ul ol dl dt dd tr table tbody thead tfoot caption section article header footer main nav aside"
_LINES += " h1 h2 h3 h4 h5 h6 blockquote pre form fieldset address figure figcaption center html head body title"
_NOTHING = "span font o:p wbr script style noscript link meta base"
_INLINE = "a abbr acronym audio b bdi bdo big button cite code data del dfn em embed i iframe img input ins kbd label"
_INLINE += " mark object option picture q rp rt ruby s samp select small source strike strong sub summary sup svg"
_INLINE += " textarea time tt u var video"
#: What a tag of HTML becomes in every text; and which more tags are removed if no tag is kept.
_PRESENTATION = {"td": " ", "th": " "} | dict.fromkeys(_LINES.split(), "\n") | dict.fromkeys(_NOTHING.split(), "")
_STRIPPED = _PRESENTATION | dict.fromkeys(_INLINE.split(), "")

#: Finds what needs cleaning in a text of printable characters and newlines without double blanks. ``<`` may be a false
#: alarm. The pattern begins with one character class, to which the regex engine skips at full speed.
_NOISE = re.compile(
    r"[\n<&\ufffd](?:(?<= \n)|(?<=\n)(?: |\n\n)|(?<=<)[!/A-Za-z0-9]|(?<=&)#?[A-Za-z0-9]{1,32};|(?<=\ufffd))"
)
_TAGS = re.compile(TAG)
_NAME = re.compile(r"[\w:.-]+")
#: Matches a chain of ``&amp;`` and its end, so that a text which was escaped five times is decoded in one step.
_ENTITY = re.compile(r"&(?:amp;)*+(?:(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)?")
_BLANKS = re.compile(r"[ \t\n]{2,}")
#: Elements that are removed with their content, and their ends.
_ENDS = {"<!--": "-->", r"<script\b[^<>]*+>": r"</script\s*+>", r"<style\b[^<>]*+>": r"</style\s*+>"}
_HIDDEN = [(re.compile(f"{a}.*?{z}", re.S | re.I), re.compile(z, re.I)) for a, z in _ENDS.items()]
#: Scripts whose letters join (Hebrew to Vedic, further Indic, Arabic forms), emoji, and the characters beside which
#: U+3000 stays.
_JOINING = "[\u0590-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010800-\U00011fff]"
_EMOJI = "[\u2190-\u2bff\U0001f000-\U0001faff]"
_CJK = "[\u3001-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uffef\U00020000-\U0003ffff]"
_JOINER = re.compile(
    f"((?<={_JOINING})(?:\u200d|\u200c(?={_JOINING}))|(?:(?<={_EMOJI})|(?<=\ufe0f))\u200d(?={_EMOJI}))|[\u200c\u200d]"
)
_WIDE_SPACE = re.compile(f"((?<={_CJK})\u3000)\u3000*+(?={_CJK})|\u3000")

#: After so many rounds nested encoding counts as an attack, and the characters ``<`` and ``&`` are removed.
_ROUNDS = 4
_DEFUSED = str.maketrans("", "", "<&")


def clean(text: str, *, keep_tags: bool = True) -> str:
    """``text`` as a model should see it. ``clean(clean(text)) == clean(text)``, and no text raises an error.

    ``keep_tags`` keeps inline and unknown tags, which a translation copies. Without it every HTML tag is removed. Even
    then an unknown ``<word>`` and the content of comments and scripts stay, so that nothing is hidden from a moderator.
    The result is no longer than the longer of ``text`` and NFC(``text``). A few characters, such as U+0958, have no
    composed form and become longer, at most threefold.
    """
    for round_ in range(2 * _ROUNDS):
        if _is_clean(text):
            return text
        if round_ == _ROUNDS:
            text = text.translate(_DEFUSED)
        before, text = text, _pass(text, keep_tags)
        if text == before:
            return text
    return text


def _is_clean(text: str) -> bool:
    # isprintable() is false for control, format, private, unassigned and space characters other than U+0020. It is one
    # loop in C.
    return (
        (text.isprintable() or text.replace("\n", "").isprintable())
        and text[:1] not in (" ", "\n")
        and text[-1:] not in (" ", "\n")
        and "  " not in text
        and _NOISE.search(text) is None
        and (text.isascii() or unicodedata.is_normalized("NFC", text))
    )


def _pass(text: str, keep_tags: bool) -> str:
    if "&" in text:
        text = _ENTITY.sub(_decode, text)
    if "<" in text:
        if keep_tags:  # without keep_tags a moderator sees what a reader of the raw text would
            for element, end in _HIDDEN:
                text = _drop(text, element, end)
        text = _TAGS.sub(lambda tag: _untag(tag, _PRESENTATION if keep_tags else _STRIPPED), text)
    text = unicodedata.normalize("NFC", _fold(text))
    return _BLANKS.sub(lambda run: "\n" * min(run[0].count("\n"), 2) or " ", text).strip(" \t\n")


def _decode(entity: re.Match[str]) -> str:
    """Decodes one entity, if it ends in a semicolon: in ``?a=1&copy=2`` there is no ©."""
    name: str | None = entity[1]
    if name is None:
        return "&"
    return html.unescape(f"&{name};") if name[0] == "#" else html5.get(f"{name};", f"&{name};")


def _drop(text: str, element: re.Pattern[str], end: re.Pattern[str]) -> str:
    """Removes the elements. It searches only up to the last end, so that no start is without an end (linear time)."""
    last = 0
    for found in end.finditer(text):
        last = found.end()
    return element.sub("", text[:last]) + text[last:]


def _untag(tag: re.Match[str], replacements: dict[str, str]) -> str:
    name = _NAME.search(tag[0])
    return replacements.get(name[0].lower(), tag[0]) if name else tag[0]


def _fold(text: str) -> str:
    """``text`` with each character that is not printable replaced or removed."""
    text = text.replace("\r\n", "\n")
    table = {ord(char): _substitute(char) for char in set(text) if not char.isprintable() or char == "\ufffd"}
    text = _JOINER.sub(r"\1", text.translate(table)) if table else text
    return _WIDE_SPACE.sub(lambda space: space[1] or " ", text)


def _substitute(char: str) -> str:
    if char in "\n\t\u200c\u200d\u3000":  # the last three depend on their neighbours
        return char
    if char in "\r\v\f\x85\u2028\u2029":
        return "\n"
    category = unicodedata.category(char)
    if category == "Zs":
        return " "
    # Keeps emoji and ideographs that are newer than this Python's tables, so that two servers treat a text alike.
    is_newer = category == "Cn" and 0x1F000 <= ord(char) < 0x3FFFE and ord(char) & 0xFFFE != 0xFFFE
    return char if is_newer else ""
