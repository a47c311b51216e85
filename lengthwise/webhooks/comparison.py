"""What a condition on a result means. It is data, without eval, and is evaluated in time linear in its length.

A result without output meets no comparison with a field of the output. Any other missing value counts as null. Only two
numbers, or two strings, can be less or greater than each other. Values of different types are never equal. ``in`` holds
for a list that has the literal.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lengthwise.result_field import OUTPUT, FieldPath

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class FieldComparison:
    """Compares the value at ``path`` with a literal. The path begins at the result."""

    path: FieldPath
    operator: str
    literal: str | float | bool | None

    def holds(self, result: Any) -> bool:
        value = _at(result, self.path)
        if self.path[0] == OUTPUT and len(self.path) > 1 and _at(result, self.path[:1]) is None:
            return False
        if self.operator in _ORDERED:
            kind = _kind(self.literal)
            return (
                kind in ("number", "string") and _kind(value) == kind and _ORDERED[self.operator](value, self.literal)
            )
        if self.operator == "in":
            return isinstance(value, list) and any(_are_equal(each, self.literal) for each in value)
        return _are_equal(value, self.literal) == (self.operator == "==")


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds if every part holds."""

    parts: tuple["Condition", ...]

    def holds(self, output: Any) -> bool:
        return all(part.holds(output) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds if at least one part holds."""

    parts: tuple["Condition", ...]

    def holds(self, output: Any) -> bool:
        return any(part.holds(output) for part in self.parts)


Condition = FieldComparison | AllOf | AnyOf


def _at(value: Any, path: FieldPath) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _are_equal(value: Any, literal: str | float | bool | None) -> bool:
    return _kind(value) == _kind(literal) and bool(value == literal)


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case None:
            return "null"
        case _:
            return "other"
