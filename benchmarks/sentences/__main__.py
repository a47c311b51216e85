"""Measures how well and how fast the ends of sentences are found: ``python -m benchmarks.sentences``.

``gold/LANGUAGE.txt`` has one text a line, with ``|`` where a sentence ends within it. F1 is that of these ends; the
end of the text is not counted. Times are the least of several rounds, in µs per text.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import sentencex

from lengthwise.text import sentence

_GOLD = Path(__file__).parent / "gold"
_ROUNDS = 15
#: Gives the ends of the sentences of a text in a language.
Splitter = Callable[[str, str], Iterable[int]]


class MarkedText(NamedTuple):
    """A text, and the ends of the sentences within it, blanks at their ends aside."""

    text: str
    ends: frozenset[int]


def languages() -> list[str]:
    return sorted(path.stem for path in _GOLD.glob("*.txt"))


def marked_texts(language: str) -> list[MarkedText]:
    lines = (_GOLD / f"{language}.txt").read_text("utf-8").splitlines()
    return [marked_text(line) for line in lines]


def marked_text(line: str) -> MarkedText:
    text, parts = line.replace("|", ""), line.split("|")
    return MarkedText(text, inner_ends(text, [len("".join(parts[: n + 1])) for n in range(len(parts))]))


def inner_ends(text: str, ends: Iterable[int]) -> frozenset[int]:
    """The ends without the blanks before them, and without that of the whole text."""
    return frozenset(len(text[:end].rstrip()) for end in ends) - {len(text.rstrip())}


def f1(texts: list[MarkedText], language: str, split: Splitter) -> float:
    """The harmonic mean of precision and recall over all ends of ``texts``, between 0 and 1."""
    right = found = 0
    for text, gold in texts:
        ends = inner_ends(text, split(text, language))
        right, found = right + len(ends & gold), found + len(ends)
    return 2 * right / (found + sum(len(gold) for _, gold in texts))


def microseconds(texts: list[MarkedText], language: str, split: Splitter) -> float:
    """The least time of several rounds, per text."""
    return min(_seconds(texts, language, split) for _ in range(_ROUNDS)) / len(texts) * 1e6


def _seconds(texts: list[MarkedText], language: str, split: Splitter) -> float:
    began = time.perf_counter()
    for text, _ in texts:
        split(text, language)
    return time.perf_counter() - began


def library_alone(text: str, language: str) -> list[int]:
    return [found["end_index"] for found in sentencex.get_sentence_boundaries(language, text)]


SPLITTERS: dict[str, Splitter] = {"sentencex alone": library_alone, "lengthwise": sentence.ends}


def main() -> None:
    print("| language | " + " | ".join(f"{name}: F1 | µs" for name in SPLITTERS) + " |")
    for language in languages():
        texts = marked_texts(language)
        cells = [
            f"{f1(texts, language, split):.3f} | {microseconds(texts, language, split):.1f}"
            for split in SPLITTERS.values()
        ]
        print(f"| {language} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
