"""The fields of results by name: which there are, and which of them was meant. Filters of webhooks name them.

Knows nothing of kinds, whose outputs have fields of their own.
"""

import re
from collections.abc import Collection
from difflib import get_close_matches

from pydantic_core import to_json

#: The names on the way from a result to one of its fields, such as ``("output", "flagged")``.
FieldPath = tuple[str, ...]

#: As the last name of a path: any names may follow.
ANY = "*"
OUTPUT = "output"

#: The fields of every result line, but for its output. Lines of batches have the last two.
OF_RESULTS: frozenset[FieldPath] = frozenset(
    {
        ("index",),
        ("id",),
        ("status",),
        ("error", "code"),
        ("error", "message"),
        ("usage", "input_tokens"),
        ("usage", "output_tokens"),
        ("model_revision",),
        ("metadata", ANY),
        ("warnings",),
        ("custom_id",),
        ("response", ANY),
    }
)
_TOP = {path[0] for path in OF_RESULTS} | {OUTPUT}

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*|\*", re.ASCII)
#: Names that an error lists, at most: of those that are near, and of others.
_LISTED, _SHOWN = 3, 20


def from_result(names: FieldPath) -> FieldPath:
    """The path from the result. A name that no result has begins a path from its output."""
    return names if names[0] in _TOP else (OUTPUT, *names)


def is_known(path: FieldPath, known: Collection[FieldPath]) -> bool:
    """Whether ``path`` leads to one of ``known``, or to an object that has one of them."""
    return any(_leads_to(path, each) for each in known)


def _leads_to(path: FieldPath, known: FieldPath) -> bool:
    is_open = known[-1] == ANY
    fixed = known[:-1] if is_open else known
    return fixed[: len(path)] == path or (is_open and path[: len(fixed)] == fixed)


def advice(path: FieldPath, known: Collection[FieldPath]) -> str:
    """Which fields were probably meant instead of this path, as a filter writes them."""
    shown = sorted(map(_written, known), key=lambda name: (name.count("."), name))
    if near := get_close_matches(_written(path), shown, _LISTED):
        return f"did you mean {' or '.join(near)}?"
    return f"known are {', '.join(shown[:_SHOWN])}" + (" and more" if len(shown) > _SHOWN else "")


def _written(path: FieldPath) -> str:
    names = path[1:] if path[0] == OUTPUT and len(path) > 1 else path
    return ".".join(name if _PLAIN.fullmatch(name) else to_json(name).decode() for name in names)
