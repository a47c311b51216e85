"""Amounts, dates and codes. Every length of number is equally likely, so that no length is rare."""

from random import Random

from training.grammar.context import Fill, TextContext, phrase_fill, same
from training.grammar.determiner import digits
from training.grammar.lexicon import WORDS
from training.grammar.phrase import Phrase

UNITS = {
    # name: (most digits, Chinese, English, English plural, German, German plural, German dative plural)
    "grams": (5, "克", "gram", "grams", "Gramm", "Gramm", "Gramm"),
    "kilos": (4, "公斤", "kilogram", "kilograms", "Kilogramm", "Kilogramm", "Kilogramm"),
    "length": (4, "厘米", "centimetre", "centimetres", "Zentimeter", "Zentimeter", "Zentimetern"),
    "width": (4, "厘米", "centimetre", "centimetres", "Zentimeter", "Zentimeter", "Zentimetern"),
    "height": (4, "毫米", "millimetre", "millimetres", "Millimeter", "Millimeter", "Millimetern"),
    "kilometres": (4, "公里", "kilometre", "kilometres", "Kilometer", "Kilometer", "Kilometern"),
    "minutes": (3, "分钟", "minute", "minutes", "Minute", "Minuten", "Minuten"),
    "hours": (3, "小时", "hour", "hours", "Stunde", "Stunden", "Stunden"),
    "days": (3, "天", "day", "days", "Tag", "Tage", "Tagen"),
    "years": (2, "年", "year", "years", "Jahr", "Jahre", "Jahren"),
}
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def quantity(context: TextContext, unit: str) -> Fill:
    longest, zh, one, many, de, de_many, de_dative = UNITS[unit]
    number = digits(context.rng, longest)
    nom, dative = (de, de) if number == "1" else (de_many, de_dative)
    en = f"{number} {one if number == '1' else many}"
    return phrase_fill(Phrase(f"{number}{zh}", en, f"{number} {nom}", f"{number} {nom}", f"{number} {dative}"))


def _decimal(rng: Random, longest: int, share: float, places: int) -> str:
    fraction = "".join(rng.choice("0123456789") for _ in range(places))
    return digits(rng, longest) + (f".{fraction}" if rng.random() < share else "")


def price(context: TextContext) -> Fill:
    if context.rng.random() < 0.15:
        return same(context.marker("value"))
    amount = _decimal(context.rng, 6, 0.4, 2)
    word = context.rng.choice(WORDS["currencies"])
    en = word.en.removesuffix("s") if amount == "1" else word.en
    return Fill(f"{amount}{word.zh}", f"{amount} {en}", f"{amount.replace('.', ',')} {word.de}")


def percent(context: TextContext) -> Fill:
    amount = _decimal(context.rng, 2, 0.2, 1)
    return Fill(f"{amount}%", f"{amount}%", f"{amount.replace('.', ',')} %")


def rating(context: TextContext) -> Fill:
    amount = f"{context.rng.randint(1, 9)}.{context.rng.randint(0, 9)}"
    return Fill(amount, amount, amount.replace(".", ","))


def date(context: TextContext) -> Fill:
    month = context.rng.randrange(12)
    day, word = context.rng.randint(1, _MONTH_DAYS[month]), WORDS["months"][month]
    if context.rng.random() < 0.5:
        return Fill(f"{word.zh}{day}日", f"{word.en} {day}", f"{day}. {word.de}")
    year = context.rng.randint(2020, 2039) if context.rng.random() < 0.8 else context.rng.randint(1900, 2099)
    return Fill(f"{year}年{word.zh}{day}日", f"{word.en} {day}, {year}", f"{day}. {word.de} {year}")


def code(context: TextContext) -> Fill:
    letters = "".join(context.rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(context.rng.randint(1, 3)))
    return same(letters + digits(context.rng, 4))


def clock(context: TextContext) -> Fill:
    return same(f"{context.rng.randint(0, 23)}:{context.rng.randint(0, 59):02}")
