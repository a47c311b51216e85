"""Measures a JSON schema before anything compiles it: each reference is counted with all that it refers to.

A schema of a few lines may refer twice to one that refers twice to another, and so on. What compiles or checks it then
takes two to the power of their number.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

#: Subschemas, each counted as often as references repeat it. A schema of 64 KiB has at most some 2,000 without any.
MAX_EXPANDED = 10_000
#: Subschemas inside each other, through references too.
MAX_DEPTH = 100

_REFERENCES = ("$ref", "$dynamicRef")
_ANCHORS = ("$anchor", "$dynamicAnchor")
#: Keywords whose value maps names to subschemas. The value of any other keyword is one, a list of some, or none.
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
_DEFINITIONS = ("$defs", "definitions")
#: Keywords whose value is data, whatever it looks like.
_DATA = frozenset({"const", "enum", "default", "examples"})


def check_size(schema: Any) -> None:
    """Raises ``ValueError`` if the schema is too large or too deep, or refers to anything but its own parts."""
    _Measured(schema).size(schema)


class _Measured:
    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()
        self._anchors: dict[str, Any] | None = None

    def size(self, schema: Any, depth: int = 0) -> int:
        """The number of subschemas, this one included. A reference to one that this one is a part of counts as one.

        Definitions count where they are referred to. But each is measured, wherever it stands.
        """
        if not isinstance(schema, dict):
            return 1
        known = self._sizes.get(id(schema))
        if known is not None or id(schema) in self._open:
            return known or 1
        if depth > MAX_DEPTH:
            raise ValueError(f"may nest at most {MAX_DEPTH} subschemas, counted through references")
        if depth and isinstance(schema.get("$id"), str):
            raise ValueError("may have an $id at its top only")
        self._open.add(id(schema))
        for definition in _definitions(schema):
            self.size(definition, depth + 1)
        found = 1 + sum(self.size(part, depth + 1) for part in (*_subschemas(schema), *self._referred(schema)))
        if found > MAX_EXPANDED:
            raise ValueError(f"may have at most {MAX_EXPANDED} subschemas, counted as often as they are referred to")
        self._open.remove(id(schema))
        self._sizes[id(schema)] = found
        return found

    def _referred(self, schema: dict[str, Any]) -> Iterator[Any]:
        for keyword in _REFERENCES:
            if isinstance(reference := schema.get(keyword), str):
                if not reference.startswith("#"):
                    raise ValueError("may only refer to its own parts")
                yield self._target(reference[1:])

    def _target(self, fragment: str) -> Any:
        """What the fragment names; None if it names nothing, which the compiler refuses."""
        if fragment and not fragment.startswith("/"):
            return self._anchored().get(fragment)
        found = self._root
        for part in unquote(fragment).split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(part)
            elif isinstance(found, list) and part.isdecimal() and len(part) < 6 and int(part) < len(found):
                found = found[int(part)]
            else:
                return None
        return found

    def _anchored(self) -> dict[str, Any]:
        if self._anchors is None:
            self._anchors = {}
            pending = [self._root]
            while pending:
                part = pending.pop()
                if isinstance(part, dict):
                    self._anchors |= {part[word]: part for word in _ANCHORS if isinstance(part.get(word), str)}
                pending += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        return self._anchors


def _definitions(schema: dict[str, Any]) -> Iterator[Any]:
    for keyword in _DEFINITIONS:
        if isinstance(named := schema.get(keyword), dict):
            yield from named.values()


def _subschemas(schema: dict[str, Any]) -> Iterator[Any]:
    """The subschemas that stand in a schema. What is in an unknown keyword is taken for one."""
    for keyword, value in schema.items():
        if keyword in _DATA or keyword in _DEFINITIONS:
            continue
        if isinstance(value, list):
            yield from value
        elif isinstance(value, dict):
            yield from value.values() if keyword in _NAMED else (value,)
