"""The licence of a model, as its folder names it: in the front matter of ``README.md``, which is its card on the hub.

The file is a stranger's. Lines are read, and no YAML: nothing in it is expanded, and what is more than a plain name is
only said to be there.
"""

import re
from pathlib import Path

from lengthwise.errors import ConfigurationError
from lengthwise.models import plain_file

CARD = "README.md"
_LICENCE_FILES = "LICENSE*"
#: Said where the card names a licence in another form than a name, or the folder has only the licence's text.
SEE_CARD = f"see {CARD}"
SEE_FILE = "LICENSE file"

#: A card may have so many bytes before the end of its front matter, which may hold long tables of results.
_MOST_BYTES = 1 << 20
#: A key at the left margin, and what follows it. ``:`` alone is no key's end in YAML.
_KEY = re.compile(r"(license|license_name):(?:[ \t]+(.*))?")
_ELEMENT = re.compile(r"[ \t]*-[ \t]+(.*)")
#: A licence's name: words without a character that changes a line, a screen or a table.
_NAME = re.compile(r"\w[\w.+-]*(?: [\w.+-]+)*", re.ASCII)
_MOST_CHARACTERS = 60
#: More licences than these are not shown.
_MOST_NAMES = 4
#: What the hub calls a licence of the model's own, which ``license_name`` names.
_OWN = "other"
_NULL = ("", "~", "null", "Null", "NULL")


def files(folder: Path) -> list[str]:
    """The names of the files that say under which licence the model is: its card, and the licence's text."""
    return [path.name for path in (folder / CARD, *sorted(folder.glob(_LICENCE_FILES))) if path.is_file()]


def of(folder: Path) -> str | None:
    """The model's licence as a name for people, ``SEE_CARD`` or ``SEE_FILE``; None if the folder names none."""
    named = _of_card(folder)
    if named is None and any(name != CARD for name in files(folder)):
        return SEE_FILE
    return named


def _of_card(folder: Path) -> str | None:
    try:
        text = plain_file.head(folder, CARD, _MOST_BYTES).decode("utf-8-sig", "replace")
    except ConfigurationError:
        return None
    found = _values(_front(text))
    own, name = found.get("license"), found.get("license_name")
    if own in (None, _OWN) and name is not None:
        return f"{_OWN} ({name})" if own == _OWN and name != SEE_CARD else name
    return own


def _front(text: str) -> list[str]:
    """The lines of the front matter; none if the text has no such part, or it does not end."""
    lines = text.lstrip().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    ends = (number for number, line in enumerate(lines) if number and line.rstrip() == "---")
    end = next(ends, None)
    return lines[1:end] if end is not None and lines[0].rstrip() == "---" else []


def _values(front: list[str]) -> dict[str, str]:
    """The names that each key gives. A key that stands twice has no clear meaning."""
    found: dict[str, str] = {}
    for number, line in enumerate(front):
        if (match := _KEY.fullmatch(line)) is None:
            continue
        key, value = match[1], _plain(match[2] or "")
        elements = _inner(value) if value else _elements(front, number + 1)
        names = [name for element in elements if (name := _plain(element)) not in _NULL]
        if key in found:
            found[key] = SEE_CARD
        elif names:
            are_plain = len(names) <= _MOST_NAMES and all(map(_is_name, names))
            found[key] = ", ".join(names) if are_plain else SEE_CARD
    return found


def _inner(value: str) -> list[str]:
    """The elements of a list in one line, or the value itself."""
    return value[1:-1].split(",") if value.startswith("[") and value.endswith("]") else [value]


def _elements(front: list[str], start: int) -> list[str]:
    """The elements of a list whose first line this is; what is indented and no list counts as one element."""
    found = []
    for line in front[start : start + _MOST_NAMES + 1]:
        match = _ELEMENT.fullmatch(line)
        if match is None and not line.startswith((" ", "\t")):
            break
        found.append(match[1] if match else line.strip())
    return found


def _plain(value: str) -> str:
    """The value without blanks and quotes around it, and without a comment behind it."""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1].strip()
    return "" if value.startswith("#") else value.split(" #", 1)[0].rstrip()


def _is_name(name: str) -> bool:
    return len(name) <= _MOST_CHARACTERS and _NAME.fullmatch(name) is not None
