"""Measures a JSON schema before anything compiles it: each reference is counted with all that it refers to.

A schema of a few lines may refer twice to one that refers twice to another, and so on. Compiling or checking a chain of
n such schemas takes 2 to the power of n steps. Measuring writes nothing out, and is linear in the schema's length.
"""

from collections import defaultdict
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, NamedTuple
from urllib.parse import unquote

Schema = dict[str, Any]

#: Subschemas, each counted as often as references repeat it. An honest schema of 64 KiB writes some 2,000.
MAX_EXPANDED = 10_000
#: Subschemas inside each other.
MAX_DEPTH = 100
MAX_REFERENCES = 1_000

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS = ("$anchor", "$dynamicAnchor")
_DEFINITIONS = ("$defs", "definitions")
#: Keywords whose value maps names to subschemas. That of any other keyword is a subschema, a list of them, or neither.
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies", *_DEFINITIONS})
#: Keywords whose value is data, whatever it looks like.
_DATA = frozenset({"const", "enum", "default", "examples"})
#: Keywords whose subschemas apply to the value to which the schema itself applies.
_IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"})
#: Keywords that evaluate once more all that applies in place. So a chain of them doubles at each level.
_LOOKING_AGAIN = frozenset({"unevaluatedProperties", "unevaluatedItems"})


class _Use(Enum):
    """What a schema applies a subschema to."""

    #: The same value, as references do.
    IN_PLACE = auto()
    #: A part of the value.
    BELOW = auto()
    #: Nothing: a definition applies only where something refers to it.
    DEFINED = auto()


class _Part(NamedTuple):
    schema: Schema
    use: _Use


def check_size(schema: Any) -> None:
    """Raises ``ValueError`` if the schema is too large or too deep, or refers to anything but its own parts."""
    if not isinstance(schema, dict):
        return
    parts = _Parts(schema)
    if parts.apply_in_circles():
        raise ValueError("may not refer to itself for one and the same value")
    if parts.n_expanded() > MAX_EXPANDED:
        raise ValueError(f"may have at most {MAX_EXPANDED} subschemas, counted as often as they are referred to")


class _Parts:
    """A schema's subschemas by their ``id``, and those that each of them applies."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[int, Schema] = {}
        self._applied: dict[int, list[_Part]] = {}
        self._anchored: dict[str, list[Schema]] = defaultdict(list)
        self._read()
        self._follow_references()

    def _read(self) -> None:
        unread = [(self._root, 0)]
        while unread:
            schema, depth = unread.pop()
            if id(schema) in self._known:
                continue
            if depth > MAX_DEPTH:
                raise ValueError(f"may nest at most {MAX_DEPTH} subschemas")
            if depth and isinstance(schema.get("$id"), str):
                raise ValueError("may have an $id at its top only")
            self._known[id(schema)] = schema
            self._applied[id(schema)] = list(_subschemas(schema))
            unread += [(part.schema, depth + 1) for part in self._applied[id(schema)]]
            for anchor in {name for keyword in _ANCHORS if isinstance(name := schema.get(keyword), str)}:
                self._anchored[anchor].append(schema)

    def _follow_references(self) -> None:
        n_references = 0
        for key, schema in self._known.items():
            for reference in [given for keyword in _REFERENCES if isinstance(given := schema.get(keyword), str)]:
                n_references += 1
                if n_references > MAX_REFERENCES:
                    raise ValueError(f"may have at most {MAX_REFERENCES} references")
                self._applied[key] += [_Part(target, _Use.IN_PLACE) for target in self._targets(reference)]

    def _targets(self, reference: str) -> list[Schema]:
        """All that the reference may name: a dynamic one chooses among the anchors of its name."""
        fragment = unquote(reference[1:])
        if fragment and not fragment.startswith("/"):
            found: list[Any] = self._anchored.get(fragment, [])
        else:
            found = [each for each in [_at(self._root, fragment)] if isinstance(each, bool) or id(each) in self._known]
        if not found or not reference.startswith("#"):
            raise ValueError("may only refer to its own parts")
        return [each for each in found if isinstance(each, dict)]

    def apply_in_circles(self) -> bool:
        """Whether a subschema applies itself to the same value. A tree of objects applies itself to another one."""
        return any(is_inside for _, is_inside in self._walk({_Use.IN_PLACE}))

    def n_expanded(self) -> int:
        """The number of subschemas in the largest one, itself included. A recursive reference counts as one.

        A definition counts wherever something refers to it. Definitions that nothing refers to are measured too, since
        they are compiled.
        """
        sizes: dict[int, int] = {}
        for key, is_inside in self._walk(set(_Use)):
            if not is_inside:
                looks_again = not _LOOKING_AGAIN.isdisjoint(self._known[key])
                times = {_Use.IN_PLACE: 1 + looks_again, _Use.BELOW: 1, _Use.DEFINED: 0}
                n = 1 + sum(times[part.use] * sizes.get(id(part.schema), 1) for part in self._applied[key])
                sizes[key] = min(n, MAX_EXPANDED + 1)
        return max(sizes.values())

    def _walk(self, uses: set[_Use]) -> Iterator[tuple[int, bool]]:
        """Yields the key of each subschema after those that it applies, with False.

        If a subschema is met again inside of itself, yields its key with True as well. Follows these ``uses`` only.
        """
        is_done: dict[int, bool] = {}
        unread = [(key, False) for key in self._known]
        unread.reverse()
        while unread:
            key, is_read = unread.pop()
            if is_read:
                is_done[key] = True
                yield key, False
            elif key not in is_done:
                is_done[key] = False
                unread.append((key, True))
                inner = [id(part.schema) for part in self._applied[key] if part.use in uses]
                yield from ((each, True) for each in inner if is_done.get(each) is False)
                unread += [(each, False) for each in inner if each not in is_done]


def _subschemas(schema: Schema) -> Iterator[_Part]:
    """The subschemas that stand in a schema. An object under an unknown keyword is taken for one."""
    for keyword, value in schema.items():
        if keyword in _DATA:
            continue
        use = _Use.DEFINED if keyword in _DEFINITIONS else _Use.IN_PLACE if keyword in _IN_PLACE else _Use.BELOW
        unread = list(value.values()) if keyword in _NAMED and isinstance(value, dict) else [value]
        while unread:
            each = unread.pop()
            if isinstance(each, list):
                unread += each
            elif isinstance(each, dict):
                yield _Part(each, use)


def _at(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer, or None."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and len(name) < 6 and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value
