"""Tells whether a full stop belongs to the word before it: abbreviations that sentencex lacks, initials and ordinals.

Pure; ``sentence`` is its only caller.
"""

import re

#: Abbreviations that seldom end a sentence: those of every language, and those of one. Only what sentencex lacks.
_EVERYWHERE = "art ca dr inc incl ltd max min mr mrs ms nr prof st tel vs"
_OF_LANGUAGE = {
    "ar": "أ د م هـ",
    "de": "abb abs abt allg anm bd bspw dipl fa fn ggf inkl jh kap mind mwst ing str vgl zzgl",
    "en": "approx excl",
    "es": "aprox máx mín",
    "fr": "chap env éd mgr réf tél",
    "hi": "डॉ श्री रु प्रो पं स्व",
    "it": "avv dott ing mo pag ra sig",
    "pl": "al dr godz hab im inż ks maks mgr np ok pl pw św ul zob",
    "pt": "aprox av cap eng exmo ltda máx mín pág profa séc",
    "ru": "акад им макс мин напр проф",
    "tr": "apt av bkz bul cad doç mah maks örn sn sok şti",
}
_COMMON = frozenset(_EVERYWHERE.split())
_KNOWN = {language: _COMMON | frozenset(words.split()) for language, words in _OF_LANGUAGE.items()}
#: Languages that write "the 3rd" as "3.", also before a capital.
_ORDINAL_LANGUAGES = frozenset(
    {"cs", "da", "de", "et", "fi", "hr", "hu", "lv", "nb", "nn", "no", "sk", "sl", "sr", "tr"}
)
#: The last word, and its part after the last inner stop or hyphen. Chinese and Japanese write no blank before a word.
_LAST_WORD = re.compile(
    r"(?:.*[\s(\[{/\"'“‘„«’\u2e80-\u9fff])?(?P<word>(?:.*[.-])?(?P<part>.*))",
    re.DOTALL,
)
#: What follows "5 p.m." within a sentence: a day, a month, a time zone.
_CALENDAR = re.compile(
    r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|[A-Z]{2,4}\b|(?:Jan|Febr)uary|March|April|May|June|July|August"
    r"|(?:Septem|Octo|Novem|Decem)ber"
)


def is_address(before: str) -> bool:
    """Whether ``before`` ends with an address, whose end (``.fr``, ``.it``) may look like an abbreviation."""
    word = before.rsplit(maxsplit=1)[-1:]
    return bool(word) and ("@" in word[0] or "www." in word[0])


def joins(before: str, first: re.Match[str] | None, language: str) -> bool:
    """Whether a full stop after ``before`` ends no sentence. ``first`` finds the first letter or digit after it.

    ``before`` begins with the sentence, or is its last characters.
    """
    if is_address(before):
        return False
    last = _LAST_WORD.fullmatch(before)
    word, part = (last["word"], last["part"]) if last else ("", "")
    if part.isdigit():
        is_list_item = before.strip() == part
        return len(part) <= 2 and (is_list_item or language in _ORDINAL_LANGUAGES)
    if first and first[1].isdigit() and part.isalpha() and len(part) <= 4:
        return True
    if part.lower() in _KNOWN.get(language, _COMMON):
        return True
    if language == "en":  # sentencex knows more of English: it tells "vitamin C." from an initial
        return word in ("a.m", "p.m") and first is not None and bool(_CALENDAR.match(first.string, first.start(1)))
    return len(part) == 1 and part.isalpha() and (part != word or not part.islower())
