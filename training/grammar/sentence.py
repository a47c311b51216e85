"""Sentences in three languages, and the patterns with slots of ``templates.toml``."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from training.grammar.context import Fill, TextContext
from training.grammar.slot import SLOTS, subject_slots

_SLOT = re.compile(r"\{(\w+)")
_AGREEING = {"person", "be", "have", "like"}


@dataclass(frozen=True)
class Sentence:
    zh: str
    en: str
    de: str
    #: Whether it is one of the few set phrases, which training and held-out data share.
    is_fixed: bool = False

    def between(self, before: str, after: str) -> "Sentence":
        zh, en, de = (f"{before}{text}{after}" for text in (self.zh, self.en, self.de))
        return Sentence(zh, en, de, self.is_fixed)


@dataclass(frozen=True)
class Pattern:
    zh: str
    en: str
    de: str

    def fill(self, context: TextContext) -> Sentence:
        names = sorted(set(_SLOT.findall(self.zh + self.en + self.de)))
        fills: dict[str, Fill] = subject_slots(context) if "person" in names else {}
        for name in names:
            if name not in _AGREEING:
                fills[name] = _another(context, name, [fill.zh for fill in fills.values()])
        return Sentence(
            self.zh.format(**{name: fill.zh for name, fill in fills.items()}),
            capitalised(self.en.format(**{name: fill.en for name, fill in fills.items()})),
            capitalised(self.de.format(**{name: fill.de for name, fill in fills.items()})),
            is_fixed=not names,
        )


def _another(context: TextContext, name: str, taken: list[str]) -> Fill:
    """Draws a fill that the sentence does not have yet, to avoid ``red and red``."""
    while True:
        fill = SLOTS[name.rstrip("0123456789")](context)
        if fill.zh not in taken:
            return fill


def _read_patterns() -> dict[str, list[Pattern]]:
    tables = tomllib.loads(Path(__file__).with_name("templates.toml").read_text("utf-8"))
    return {
        topic: [Pattern(*block.strip().splitlines()) for block in text.strip().split("\n\n")]
        for topic, text in tables.items()
    }


PATTERNS = _read_patterns()


def capitalised(text: str) -> str:
    """Returns the text with its first character in upper case. Placeholders before it are skipped."""
    start = next((i for i, letter in enumerate(text) if not "\ue000" <= letter <= "\uf8ff"), len(text))
    return text[:start] + text[start : start + 1].upper() + text[start + 1 :]
