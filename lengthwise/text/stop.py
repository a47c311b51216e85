"""Tells whether a stop ends no sentence, by what stands around it: abbreviations, initials, ordinals, small letters.

It has what sentencex lacks, and joins more than sentencex would. Pure; ``sentence`` is its only caller.
"""

import re

#: Abbreviations that seldom end a sentence: those of every language, and those of one. Only what sentencex lacks.
_EVERYWHERE = "art ca dr inc incl ltd max min mr mrs ms nr prof st tel vs"
_OF_LANGUAGE = {
    "ar": "أ د م هـ",
    "de": "abb abs abt allg anh anm bd bspw dipl fa fn geb gest ggf inkl jh kap mind mwst ing str vgl zzgl",
    "en": "approx excl",
    "es": "aprox cnel gral máx mín",
    "fr": "chap env éd mlle mme mmes réf tél",
    "hi": "डॉ श्री रु प्रो पं स्व",
    "it": "avv dott ing mo pag ra sig",
    "pl": "al gen godz hab im inż maks np ok os św tzw ul zob",
    "pt": "aprox av cap cel eng exmo ltda máx mín pág proc profa séc",
    "ru": "акад ген им макс мин напр полк проф",
    "vi": "bs gs pgs ths tp ts",
    "tr": "alb apt av bkz bul cad doç gen mah maks örn sn sok şti",
}
_COMMON = frozenset(_EVERYWHERE.split())
_KNOWN = {language: _COMMON | frozenset(words.split()) for language, words in _OF_LANGUAGE.items()}
#: A short word without a vowel, such as "Mgr" or "стр", is an abbreviation; not so in languages that have such words.
_NO_VOWEL = re.compile(r"(?:(?![aeiouyäöüáàâãéèêëíìîïóòôõúùûýąęœæøåıаеёиоуыэюяіїє])[a-zß-žа-я]){2,5}", re.IGNORECASE)
_SYLLABIC_CONSONANTS = frozenset({"cs", "hr", "mk", "sh", "sk", "sl", "sr"})
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
#: A Roman number, which follows an abbreviation as in "vol. II". "I" alone is a word.
_ROMAN = re.compile(r"[IVXLC]{2,}+(?![^\W_])")
_DAY = re.compile(r"(?<!\d)[0-3]?\d\.?\s\Z")
#: Closing quotes and brackets, which may follow the last stop of a sentence. Some quotes both open and close.
CLOSERS = "\"'”’»›“«‹」』】〉》）)]］}"
_OPENERS = "\"'“‘„‚«»‹›「『【〈《"
#: The blanks that French writes before a closing quote.
NARROW = " \u00a0\u202f"
#: A quote after these is all that was said: its end is that of the sentence.
_BEFORE_SPEECH = (":", "：", ",", "，", "、")
_FIRST = re.compile(r"\W{0,16}+(\w)")
#: Characters before a stop in which its word stands.
_REACH = 24
#: Characters before the end of a quote in which its beginning is sought.
_QUOTE_REACH = 200


def joins(line: str, start: int, found: re.Match[str], is_known: bool, language: str) -> bool:
    """Whether the stop ``found``, with what closes after it, ends no sentence, if that began at ``start``.

    ``is_known`` says whether sentencex ends a sentence here.
    """
    stop = found[0].rstrip(CLOSERS + NARROW)
    before = line[max(start, found.start() - _REACH) : found.start()]
    if not is_known and not _is_address(before):
        return True
    first = _FIRST.match(line, found.end())
    follower = first[1] if first else ""
    is_caseless = follower.isalpha() and follower.lower() == follower.upper()
    if (
        is_caseless
        and found[0][-1] in CLOSERS
        and _is_embedded(line[max(start, found.start() - _QUOTE_REACH) : found.start()])
    ):
        return True
    if stop[-1] not in ".!?…‥":
        return False
    if follower.islower():
        return True
    if stop == ".":
        return _belongs_to_word(before, first, language)
    return is_caseless and stop[-1] not in "!?"


def _is_embedded(before: str) -> bool:
    """Whether a quote that ends after ``before`` is a part of the sentence, as in ``“来吗？”她问。``"""
    opener = max(before.rfind(char) for char in _OPENERS)
    return opener >= 0 and not before[:opener].rstrip().endswith(_BEFORE_SPEECH)


def _is_address(before: str) -> bool:
    """Whether the last word is an address. sentencex takes the end of ``www.example.it.`` for an abbreviation."""
    word = before.rsplit(maxsplit=1)[-1:]
    return bool(word) and ("@" in word[0] or "www." in word[0])


def _belongs_to_word(before: str, first: re.Match[str] | None, language: str) -> bool:
    """Whether a full stop belongs to the word before it. ``first`` finds the first letter or digit after it."""
    if _is_address(before):
        return False
    last = _LAST_WORD.fullmatch(before)
    word, part = (last["word"], last["part"]) if last else ("", "")
    if part.isdigit():
        is_list_item = before.strip() == part
        return len(part) <= 2 and (is_list_item or language in _ORDINAL_LANGUAGES)
    if first and part and _is_counted(part, before[: -len(part)], first):
        return True
    if part.lower() in _KNOWN.get(language, _COMMON):
        return True
    if _NO_VOWEL.fullmatch(part) and not part.isupper() and language not in _SYLLABIC_CONSONANTS:
        return not before[: -len(part)].rstrip()[-1:].isdigit()  # in "80 kg." it is a unit
    if language == "en":  # sentencex knows more of English: it tells "vitamin C." from an initial
        return word in ("a.m", "p.m") and first is not None and bool(_CALENDAR.match(first.string, first.start(1)))
    return len(part) == 1 and part.isalpha() and (part != word or not part.islower())


def _is_counted(part: str, before: str, first: re.Match[str]) -> bool:
    """Whether a number follows an abbreviation of what is counted: "No. 3", "vol. II", "3 janv. 2010"."""
    if first[1].isdigit():
        return len(part) <= 3 or (len(part) <= 5 and _DAY.search(before) is not None)
    return len(part) <= 4 and _ROMAN.match(first.string, first.start(1)) is not None
