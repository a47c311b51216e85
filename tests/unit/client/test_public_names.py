"""The public names of ``lengthwise.client``, and the errors that its docstring lists."""

import inspect
import pickle
import re

import pytest

from lengthwise import client, errors


def listed() -> dict[str, str]:
    """Each error of the tree in the docstring, with its base class."""
    above: dict[int, str] = {}
    found: dict[str, str] = {}
    for indent, name in re.findall(r"^((?:  )*)(\w+Error)\b", str(client.__doc__), re.MULTILINE):
        above[len(indent)] = name
        if indent:
            found[name] = above[len(indent) - 2]
    return found


def test_the_error_tree_in_the_docstring_matches_the_classes() -> None:
    classes = [getattr(client, name) for name in client.__all__ if name != "ItemError"]
    raised = [each for each in classes if inspect.isclass(each) and issubclass(each, Exception)]
    real = {each.__name__: each.__bases__[0].__name__ for each in raised if each is not errors.LengthwiseError}
    assert listed() == real
    assert len(real) == 12


def test_every_public_name_belongs_to_the_package_and_private_modules_are_hidden() -> None:
    for name in client.__all__:
        home = getattr(getattr(client, name), "__module__", client.__name__)
        assert "._" not in home, f"{name} is shown as {home}.{name}"


@pytest.mark.parametrize("kind", [client.ConflictError, client.TooLargeError, client.UnavailableError])
def test_an_error_can_be_pickled(kind: type[client.RefusedError]) -> None:
    error = kind(409, {"title": "t", "detail": "d", "field": "f", "index": 3}, 7)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again), again.field, again.index, again.retry_after) == (kind, "409 t: f: d", "f", 3, 7)
