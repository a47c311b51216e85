"""Where a text's sentences end, for models that were trained on one sentence at a time.

Rules, not a model: quick, the same everywhere, and cautious, since a sentence too long is translated better than half a
one. Pure; knows nothing of models.
"""

import re

from lengthwise.placeholder import Piece

#: What may follow the last stop of a sentence: closing quotes and brackets.
_CLOSERS = "[\"'”’»」』】）)\\]]*+"
#: A placeholder's mark belongs to the sentence before it only where nothing follows it: else it begins the next.
_MARKS = "(?:[\ue000-\ue00f]++(?=\\s|$))?"
#: A CJK stop ends a sentence; another one only before a blank and something that is no small letter.
#: Possessive, and begun only where a run of stops begins: linear on any text.
_END = re.compile(rf"[。！？]++{_CLOSERS}{_MARKS}|(?<![.!?…])[.!?…]++{_CLOSERS}{_MARKS}(?=\s++[^\sa-zäöü])|(?=\n)")
#: What ends in a full stop and seldom ends a sentence; single letters (initials, "z. B.") besides.
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|Art|vs|etc|approx|incl|ca|bzw|inkl|e\.g|i\.e|z\.B|d\.h|u\.a)\.$"
)
#: Languages that write "the 3rd" as "3.".
_ORDINAL_LANGUAGES = frozenset(
    {"cs", "da", "de", "et", "fi", "hr", "hu", "lv", "no", "nb", "pl", "sk", "sl", "sr", "tr"}
)
_SPACELESS_LANGUAGES = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})
_LETTER = re.compile(r"[^\W\d_]")


def split(text: str, language: str | None = None) -> list[Piece]:
    """The sentences of a text and the blanks between them; their texts joined are ``text``.

    What has no letter, such as a number on a line of its own, is kept rather than translated.
    """
    pieces: list[Piece] = []
    start = 0
    for end in _ends(text, language):
        sentence = text[start:end]
        core = sentence.strip()
        before, after = sentence[: len(sentence) - len(sentence.lstrip())], sentence[len(sentence.rstrip()) :]
        pieces += [
            Piece(before, False),
            Piece(core, _LETTER.search(core) is not None),
            Piece(after if core else "", False),
        ]
        start = end
    return [piece for piece in pieces if piece.text]


def _ends(text: str, language: str | None) -> list[int]:
    found = (match.end() for match in _END.finditer(text))
    ends = [end for end in found if _is_end(text[max(0, end - 24) : end], language)]
    return [*dict.fromkeys(end for end in ends if 0 < end < len(text)), len(text)]


def _is_end(before: str, language: str | None) -> bool:
    if not before.endswith("."):
        return True
    is_ordinal = language in _ORDINAL_LANGUAGES and before[-2:-1].isdigit()
    return not is_ordinal and _ABBREVIATION.search(before) is None


def joint(before: Piece, after: Piece, language: str | None) -> str:
    """What to put between two sentences: a space where the translation's language has one and the source had none."""
    return " " if before.is_text and after.is_text and language not in _SPACELESS_LANGUAGES else ""


def fitting(blank: str, language: str | None) -> str:
    """The blank between two sentences as the language of the translation writes it."""
    return "" if blank == " " and language in _SPACELESS_LANGUAGES else blank
