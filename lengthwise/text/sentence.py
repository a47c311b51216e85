"""Splits a text into sentences, for models that were trained on one sentence at a time.

It uses rules and no model, so it is quick and always gives the same result. It splits cautiously, since two sentences
together are translated better than half a sentence. Pure; knows nothing of models.
"""

import re

from lengthwise.text.placeholder import TextPiece

#: Closing quotes and brackets, which may follow the last stop of a sentence.
_CLOSERS = "[\"'”’»」』】）)\\]]*+"
#: A placeholder's mark belongs to the sentence before it only if nothing follows it. Otherwise it begins the next one.
_MARKS = "(?:[\ue000-\ue00f]++(?=\\s|$))?"
#: A CJK stop and a newline always end a sentence. Another stop does so only before a blank and a character that is not
#: a lower-case letter. The pattern is possessive and begins only at the first of several stops, so it is linear on any
#: text. It begins with one character class, for speed.
_END = re.compile(
    rf"[。！？.!?…\n](?:(?<=\n)|(?<=[。！？])[。！？]*+{_CLOSERS}{_MARKS}"
    rf"|(?<=[.!?…])(?<![.!?…][.!?…])[.!?…]*+{_CLOSERS}{_MARKS}(?=\s++[^\sa-zäöü]))"
)
#: Abbreviations, whose full stop seldom ends a sentence. Single letters (initials, "z. B.") are handled apart.
_ABBREVIATIONS = frozenset(
    {"Mr.", "Mrs.", "Ms.", "Dr.", "Prof.", "St.", "No.", "Nr.", "Art.", "vs.", "etc.", "approx.", "incl.", "ca."}
    | {"bzw.", "inkl.", "e.g.", "i.e.", "z.B.", "d.h.", "u.a."}
)
#: Languages that write "the 3rd" as "3.".
_ORDINAL_LANGUAGES = frozenset(
    {"cs", "da", "de", "et", "fi", "hr", "hu", "lv", "no", "nb", "pl", "sk", "sl", "sr", "tr"}
)
_SPACELESS_LANGUAGES = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})
_LETTER = re.compile(r"[^\W\d_]")


def split(text: str, language: str | None = None) -> list[TextPiece]:
    """The sentences of a text, and the blanks between them. Their texts, joined, are ``text``.

    A piece without a letter, such as a number on a line of its own, is kept and not translated.
    """
    pieces: list[TextPiece] = []
    start = 0
    for end in _ends(text, language):
        sentence = text[start:end]
        core = sentence.strip()
        if before := sentence[: len(sentence) - len(sentence.lstrip())]:
            pieces.append(TextPiece(before, False))
        if core:
            pieces.append(TextPiece(core, core[0].isalpha() or _LETTER.search(core) is not None))
            if after := sentence[len(sentence.rstrip()) :]:
                pieces.append(TextPiece(after, False))
        start = end
    return pieces


def _ends(text: str, language: str | None) -> list[int]:
    ends = [0]
    for match in _END.finditer(text):
        end = match.end() - (text[match.start()] == "\n")  # a newline does not belong to the sentence that it ends
        if ends[-1] < end < len(text) and (text[end - 1] != "." or _is_end(text[max(0, end - 24) : end], language)):
            ends.append(end)
    return [*ends[1:], len(text)]


def _is_end(before: str, language: str | None) -> bool:
    """Whether the full stop at the end of ``before`` ends a sentence."""
    if language in _ORDINAL_LANGUAGES and before[-2:-1].isdigit():
        return False
    word = before.rsplit(maxsplit=1)[-1].rpartition("(")[2]
    is_initial = len(word) == 2 and word[0].isascii() and word[0].isalpha()
    return not is_initial and word not in _ABBREVIATIONS


def joint(before: TextPiece, after: TextPiece, language: str | None) -> str:
    """What to put between two sentences: a space if only the translation's language writes one there, else nothing."""
    return " " if before.is_text and after.is_text and language not in _SPACELESS_LANGUAGES else ""


def fitting(blank: str, language: str | None) -> str:
    """The blank between two sentences as the translation's language writes it."""
    return "" if blank == " " and language in _SPACELESS_LANGUAGES else blank
