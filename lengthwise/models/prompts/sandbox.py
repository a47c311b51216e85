"""Where chat templates run: as transformers runs them, within a budget, and with callers' texts marked.

Every text that comes out of an operation on a caller's text keeps its marks (``marked``). Where an operation gives a
plain text, such as ``format``, the whole of it is marked: what the template wrote in it is then read as plain text too.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import wraps
from types import FunctionType
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.filters import make_attrgetter
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from lengthwise.models.prompts.marked import Marked, as_marked, join, may_hold_marks

#: Turns of loops and calls of a rendering: so many, and so many more for each message.
_STEPS_AT_LEAST, _STEPS_OF_MESSAGE = 20_000, 200
#: The largest number that a template may call anything with.
_LARGEST = 1_000_000
#: A format whose width is large, or a value.
_WIDE = re.compile(r"%[^a-zA-Z%]*(\*|\d{4})")
#: The variable of a rendering that counts its steps. No template can name it, as no name has a blank.
_STEPS = " steps"
#: Filters that give back values as they are, or keep marks themselves.
_KEEPING = frozenset([
    "attr", "batch", "count", "d", "default", "dictsort", "first", "groupby", "items", "last", "length", "list", "map",
    "max", "min", "random", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort", "sum", "trim",
    "unique",
])  # fmt: skip


class RenderingTooCostly(jinja2.TemplateError):
    """A rendering takes more steps or characters than its conversation may cost."""


class Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox that counts the turns of loops and the calls of each rendering, and multiplies no texts."""

    intercepted_binops = frozenset({"*", "**", "%"})
    #: How the parts of a macro, or of a block, become its text.
    concat = staticmethod(lambda parts: join("", parts))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_as_text,
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )
        self.filters["tojson"] = _to_json
        for name in ("center", "format", "indent", "wordwrap"):
            self.filters[name] = _narrow(self.filters[name])
        for name in self.filters.keys() - _KEEPING:
            self.filters[name] = _marking(self.filters[name])
        self.filters |= {"limited": jinja2.pass_context(_limited), "joined": _joined}
        self.filters |= {"join": _do_join, "replace": _do_replace}
        self.globals |= {"raise_exception": _refuse, "strftime_now": _strftime_now}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        for loop in parsed.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "limited", [], [], None, None).set_environment(self)
        _Joining(self).visit(parsed)
        return parsed

    def call(self, context: Context, called: Any, *arguments: Any, **named: Any) -> Any:
        _count(context)
        given = (*arguments, *named.values())
        _refuse_widths(each for each in given if not may_hold_marks(each))
        owner = getattr(called, "__self__", None)
        if isinstance(owner, str) and isinstance(getattr(Marked, called.__name__, None), FunctionType):
            called = getattr(as_marked(owner), called.__name__)
        found = super().call(context, called, *arguments, **named)
        if isinstance(called, Macro) or isinstance(owner, dict | list | tuple):  # what they give has its own marks
            return found
        return _with_marks(found, *given, *([owner] if isinstance(owner, str) else []))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Refuses a caller's text as a format: its widths could be large."""
        if getattr(value, "__name__", "") in ("format", "format_map") and may_hold_marks(value.__self__):
            raise SecurityError("a message is no format")
        return super().wrap_str_format(value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%":
            _refuse_widths((left,))
        else:
            sizes = [len(side) if isinstance(side, str | list | tuple) else abs(side) for side in (left, right)]
            most = 16 if operator == "**" else _LARGEST / max(sizes[0], 1)
            if sizes[0] > _LARGEST or sizes[1] > most:
                raise jinja2.TemplateError("the product is too large")
        return _with_marks(super().call_binop(context, operator, left, right), left, right)


class _Generation(Extension):
    """The tag ``generation``, which tells training where an answer is. Its content is rendered as if it were absent."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class _Joining(NodeTransformer):
    """Replaces the operator ``~``, whose own function would lose marks, by a filter."""

    def __init__(self, environment: Sandbox) -> None:
        self._environment = environment

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - as jinja2 names it
        self.generic_visit(node)
        made = nodes.Filter(nodes.List(node.nodes), "joined", [], [], None, None, lineno=node.lineno)
        return made.set_environment(self._environment)


def steps(n_messages: int) -> dict[str, Iterator[int]]:
    """The variable by which a rendering of so many messages counts its steps."""
    return {_STEPS: iter(range(_STEPS_AT_LEAST + _STEPS_OF_MESSAGE * n_messages))}


def _with_marks(found: Any, *given: Any) -> Any:
    """What was made of the values ``given``. A text is marked if one of them may hold marks and it has none itself."""
    if isinstance(found, bytes):
        raise jinja2.TemplateError("a text without marks")
    is_plain = isinstance(found, str) and not isinstance(found, Marked)
    return Marked(found) if is_plain and may_hold_marks(given) else found


def _as_text(value: Any) -> Any:
    """A value as it is written out."""
    return value if isinstance(value, str) else _with_marks(str(value), value)


def _joined(values: list[Any]) -> Marked:
    return join("", map(_as_text, values))


@jinja2.pass_environment
def _do_join(environment: Sandbox, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> Marked:
    """The filter ``join``, with the parameters that jinja2's own has."""
    each = value if attribute is None else map(make_attrgetter(environment, attribute), value)
    return join(_as_text(d), map(_as_text, each))


def _do_replace(s: Any, old: str, new: str, count: int | None = None) -> Marked:
    """The filter ``replace``, with the parameters that jinja2's own has."""
    return as_marked(_as_text(s)).replace(_as_text(old), _as_text(new), -1 if count is None else count)


def _limited(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    """The values, each of which counts as a step."""
    for value in values:
        _count(context)
        yield value


def _count(context: Context) -> None:
    if next(context[_STEPS], None) is None:
        raise RenderingTooCostly("the template takes too many steps")


def _marking(made: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, whose text is marked if it was made of a marked one."""
    n_before = int(hasattr(made, "jinja_pass_arg"))  # jinja2 puts the context or the environment before the arguments

    @wraps(made)
    def marking(*arguments: Any, **named: Any) -> Any:
        return _with_marks(made(*arguments, **named), *arguments[n_before:], *named.values())

    return marking


def _narrow(made: Callable[..., Any]) -> Callable[..., Any]:
    """The filter for small widths only."""

    @wraps(made)
    def narrow(*arguments: Any, **named: Any) -> Any:
        _refuse_widths((*arguments, *named.values()))
        return made(*arguments, **named)

    return narrow


def _refuse_widths(values: Iterable[Any]) -> None:
    """Raises ``TemplateError`` for a large number, or a format with one: it could be the width of a text."""
    for value in values:
        if (isinstance(value, int) and value > _LARGEST) or (isinstance(value, str) and _WIDE.search(value)):
            raise jinja2.TemplateError("a number is too large")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter ``tojson``, with the parameters that transformers' own has."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
