"""Reads conditions on a result, such as ``flagged == true and scores.violence >= 0.5``. They select what is pushed.

    condition   = choice { "or" choice }
    choice      = term { "and" term }
    term        = path operator literal | literal "in" path | "(" condition ")"
    path        = name { "." name }       a name is of letters, digits, _ and -, or anything as a JSON string
    operator    = "==" | "!=" | "<" | "<=" | ">" | ">="
    literal     = a JSON string, number, true, false or null

A path begins at the result's output, unless its first name is that of a result's own field, such as ``error``. What a
condition means is in ``lengthwise.webhooks.comparison``.
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from pydantic_core import from_json

from lengthwise import result_field
from lengthwise.errors import InvalidInput
from lengthwise.result_field import FieldPath
from lengthwise.states import ResultStatus
from lengthwise.webhooks.comparison import AllOf, AnyOf, Condition, FieldComparison

MAX_CHARACTERS = 500
MAX_DEPTH = 10
FIELD = "filter"

_STRING = r'"(?:[^"\\\x00-\x1f]|\\.)*"'
_TOKEN = re.compile(
    rf"""\s*(?:(?P<string>{_STRING})|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]))
    |(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<operator>==|!=|<=|>=|<|>)|(?P<mark>[().]))""",
    re.VERBOSE | re.ASCII,
)
_STATUS = ("status",)
#: Items that never ran are not sent.
_STATUSES = (ResultStatus.SUCCEEDED, ResultStatus.FAILED)
_LIST = " and ".join(_STATUSES)
_WORDS = {"true": True, "false": False, "null": None}


def parse(text: str, known: Collection[FieldPath] | None = None) -> Condition:
    """Parses a condition, whose paths must lead to ``known`` fields, if these are given.

    Raises ``InvalidInput``, which says where ``text`` is wrong but does not quote it.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(f"may have at most {MAX_CHARACTERS} characters", FIELD)
    reader = _ConditionParser(text, known)
    found = reader.condition(0)
    if not reader.is_at_end:
        raise reader.refusal("'and', 'or' or the end")
    return found


class _ConditionParser:
    """A recursive-descent parser that looks one token ahead."""

    def __init__(self, text: str, known: Collection[FieldPath] | None) -> None:
        self._known = known
        self._tokens = list(_tokens(text))
        self._next = 0

    @property
    def is_at_end(self) -> bool:
        return self._next == len(self._tokens)

    def refusal(self, expected: str) -> InvalidInput:
        place = "its end" if self.is_at_end else f"character {self._tokens[self._next][2] + 1}"
        return InvalidInput(f"cannot be read: {expected} is expected at {place}", FIELD)

    def _take(self, kind: str, *values: str) -> str | None:
        """Takes the next token if it is of this kind and, if values are given, one of them. Otherwise returns None."""
        if self.is_at_end:
            return None
        found, value, _ = self._tokens[self._next]
        if found != kind or (values and value not in values):
            return None
        self._next += 1
        return value

    def condition(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise InvalidInput(f"may nest at most {MAX_DEPTH} parentheses", FIELD)
        return self._joined("or", lambda: self._joined("and", lambda: self._term(depth), AllOf), AnyOf)

    def _joined(
        self, word: str, part: Callable[[], Condition], join: Callable[[tuple[Condition, ...]], Condition]
    ) -> Condition:
        parts = [part()]
        while self._take("name", word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else join(tuple(parts))

    def _term(self, depth: int) -> Condition:
        if self._take("mark", "("):
            inner = self.condition(depth + 1)
            if not self._take("mark", ")"):
                raise self.refusal("')'")
            return inner
        if [token[:2] for token in self._tokens[self._next + 1 : self._next + 2]] == [("name", "in")]:
            literal = self._literal()
            self._take("name", "in")
            return FieldComparison(self._path(), "in", literal)
        path = self._path()
        compared = self._take("operator")
        if compared is None:
            raise self.refusal("one of == != < <= > >=")
        at = self._next
        literal = self._literal()
        if self._known is not None and path == _STATUS and literal not in _STATUSES:
            place = self._tokens[at][2] + 1
            raise InvalidInput(f"names a status that no result has, at character {place}; known are {_LIST}", FIELD)
        return FieldComparison(path, compared, literal)

    def _path(self) -> FieldPath:
        start = self._next
        names = [self._name()]
        while self._take("mark", "."):
            names.append(self._name())
        path = result_field.from_result(tuple(names))
        if self._known is not None and not result_field.is_known(path, self._known):
            at, advice = self._tokens[start][2] + 1, result_field.advice(path, self._known)
            raise InvalidInput(f"names a field that no result has, at character {at}; {advice}", FIELD)
        return path

    def _name(self) -> str:
        if (quoted := self._take("string")) is not None:
            return str(self._json(quoted))
        name = self._take("name")
        if name is None:
            raise self.refusal("a name")
        return name

    def _literal(self) -> str | float | bool | None:
        if word := self._take("name", *_WORDS):
            return _WORDS[word]
        written = self._take("string") or self._take("number")
        if written is None:
            raise self.refusal("a JSON string, number, true, false or null")
        found: str | float = self._json(written)
        return found

    def _json(self, written: str) -> Any:
        try:
            value = from_json(written)
        except ValueError:
            self._next -= 1
            raise self.refusal("JSON") from None
        if value in (float("inf"), float("-inf")):
            self._next -= 1
            raise self.refusal("a number in range")
        return value


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """The kind, the text and the position of each token."""
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise InvalidInput(f"cannot be read at character {at + 1}", FIELD)
        yield found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)
        at = found.end()
