"""Seeded texts with known answers: the engine reverses a text's words, so a lost or swapped answer is noticed.

This module knows the formats of request bodies and result lines. It does not know HTTP or what is measured.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from tokenizers import Tokenizer, models, pre_tokenizers

END = "</s>"
_UNKNOWN = "[UNK]"
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in ("a", "e", "i", "o", "u")]
#: 4,900 words of two syllables.
WORDS = [first + second for first in _SYLLABLES for second in _SYLLABLES]

_MEDIAN_WORDS, _SPREAD, _MOST_WORDS = 8, 0.7, 100

_CATALOG = """\
[models.echo]
path = "."
engine = "{engine}"
batch_rows = 64
batch_tokens = 8192
max_new_tokens = 128
[models.echo.generate]
"""


class WrongResults(Exception):
    """A result is missing, occurs twice or is not the right answer to its text."""


def write_catalog(folder: Path, seconds_per_batch: float = 0, engine: str = "echo") -> Path:
    """Writes a ``models.toml`` with one model: every word is one token, and there are no weights."""
    folder.mkdir(parents=True)
    vocabulary = {token: number for number, token in enumerate([_UNKNOWN, END, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([_UNKNOWN, END])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token_id": 1, "max_position_embeddings": 512, "seconds_per_batch": seconds_per_batch}
    (folder / "config.json").write_text(json.dumps(config))
    catalog = folder / "models.toml"
    catalog.write_text(_CATALOG.format(engine=engine))
    return catalog


def texts(count: int, seed: int) -> list[str]:
    """Draws texts of lognormal lengths: half have up to 8 words, none has more than 100."""
    drawn = random.Random(seed)
    words = [round(drawn.lognormvariate(0, _SPREAD) * _MEDIAN_WORDS) for _ in range(count)]
    return [_text(drawn, min(max(n_words, 1), _MOST_WORDS)) for n_words in words]


def two_lengths(count: int, seed: int) -> list[str]:
    """Draws texts of 8 words and of 57 to 64 words, in turns."""
    drawn = random.Random(seed)
    return [_text(drawn, 64 - drawn.randrange(8) if number % 2 else 8) for number in range(count)]


def _text(drawn: random.Random, n_words: int) -> str:
    return " ".join(drawn.choices(WORDS, k=n_words))


def reversed_words(text: str) -> str:
    """Returns the only right answer to ``text``."""
    return " ".join(reversed(text.split()))


@dataclass(frozen=True)
class Corpus:
    """One job's texts, and its NDJSON body in a file."""

    texts: Sequence[str]
    body: Path

    @classmethod
    def write(cls, texts: Sequence[str], body: Path) -> "Corpus":
        with body.open("w") as file:
            file.write('{"kind": "generate"}\n')
            file.writelines(f'{{"text": "{text}"}}\n' for text in texts)
        return cls(texts, body)

    def check(self, results: Path) -> int:
        """Compares every line of a download and returns the number of lines. Raises ``WrongResults``."""
        expected = 0
        for line in _lines(results):
            if expected >= len(self.texts) or line["index"] != expected:
                raise WrongResults(f"expected the result of index {expected}, found index {line['index']}")
            if line.get("output", {}).get("text") != reversed_words(self.texts[expected]):
                raise WrongResults(f"the answer of index {expected} is not its text reversed")
            expected += 1
        if expected != len(self.texts):
            raise WrongResults(f"{expected} results of {len(self.texts)} items")
        return expected


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        yield from map(from_json, file)
