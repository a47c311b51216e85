"""How our code logs: nothing that is not ours is formatted into a line."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_LEVELS = frozenset({"critical", "debug", "error", "exception", "info", "log", "warning"})
MODULES = [path for package in ("lengthwise", "api", "worker") for path in sorted((ROOT / package).rglob("*.py"))]


def log_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LEVELS:
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id in ("log", "logger"):
                yield node


def faults(source: str) -> list[str]:
    """What is wrong with the log calls of a module."""
    tree = ast.parse(source)
    found = []
    for call in log_calls(tree):
        assert isinstance(call.func, ast.Attribute)
        if call.func.attr == "exception" or any(keyword.arg in ("exc_info", "stack_info") for keyword in call.keywords):
            found.append(f"line {call.lineno}: another handler would print the error's message")
        if any(isinstance(argument, ast.JoinedStr) for argument in call.args):
            found.append(f"line {call.lineno}: a line is a template and its arguments")
    for handler in ast.walk(tree):
        if isinstance(handler, ast.ExceptHandler) and handler.name and _is_any(handler.type):
            for call in log_calls(handler):
                if any(isinstance(argument, ast.Name) and argument.id == handler.name for argument in call.args):
                    found.append(f"line {call.lineno}: the message of an error that may be a library's")
    return found


def _is_any(kind: ast.expr | None) -> bool:
    return kind is None or (isinstance(kind, ast.Name) and kind.id in ("BaseException", "Exception"))


def test_every_log_call_is_a_template_of_our_own_words() -> None:
    found = {path.relative_to(ROOT).as_posix(): faults(path.read_text("utf-8")) for path in MODULES}
    assert {name: each for name, each in found.items() if each} == {}
    assert sum(len(list(log_calls(ast.parse(path.read_text("utf-8"))))) for path in MODULES) > 50


@pytest.mark.parametrize(
    "body",
    ["log.exception('x')", "log.error('x', exc_info=True)", "log.info(f'{x}')", "log.error('%s', error)"],
)
def test_each_fault_is_found(body: str) -> None:
    assert faults(f"try:\n    y\nexcept Exception as error:\n    {body}\n")
    assert not faults("try:\n    y\nexcept ValueError as error:\n    log.error('%s', error)\n")
