"""Seeded texts whose answers are known: the engine reverses a text's words, so a lost or swapped one is seen.

Knows the form of bodies and result lines; knows nothing of HTTP or of what is measured.
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
#: Some thousand words of two syllables.
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
    """A result is missing, is there twice or is not what its text must give."""


def write_catalog(folder: Path, seconds_per_batch: float = 0, engine: str = "echo") -> Path:
    """A ``models.toml`` with one model: a token a word, and no weights."""
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
    """Lengths are lognormal: half have up to 8 words, none more than 100."""
    drawn = random.Random(seed)
    words = [round(drawn.lognormvariate(0, _SPREAD) * _MEDIAN_WORDS) for _ in range(count)]
    return [_text(drawn, min(max(n_words, 1), _MOST_WORDS)) for n_words in words]


def two_lengths(count: int, seed: int) -> list[str]:
    """Texts of about 8 and of about 64 words, by turns."""
    drawn = random.Random(seed)
    return [_text(drawn, 64 - drawn.randrange(8) if number % 2 else 8) for number in range(count)]


def _text(drawn: random.Random, n_words: int) -> str:
    return " ".join(drawn.choices(WORDS, k=n_words))


def reversed_words(text: str) -> str:
    """The only right answer to ``text``."""
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
        """Compares every line of a download and returns how many there are. Raises ``WrongResults``."""
        expected = 0
        for line in _lines(results):
            if expected >= len(self.texts) or line["index"] != expected:
                raise WrongResults(f"the line of index {line['index']} stands where {expected} was due")
            if line.get("output", {}).get("text") != reversed_words(self.texts[expected]):
                raise WrongResults(f"the answer of index {expected} is not its text reversed")
            expected += 1
        if expected != len(self.texts):
            raise WrongResults(f"{expected} results of {len(self.texts)} items")
        return expected


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        yield from map(from_json, file)
