"""What a log shows of an error: its class and where it was raised, but no message that is not ours."""

from collections.abc import Callable

import httpcore
import pytest

from lengthwise.errors import InvalidInput, LengthwiseError
from lengthwise.logs import raised
from worker.engine.protocol import EngineError

CANARY = "CaNaRy"


def caught(act: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as found:
        act()
    return found.value


def fails(error: BaseException, cause: BaseException | None = None) -> Callable[[], object]:
    def raises() -> None:
        raise error from cause

    return raises


@pytest.mark.parametrize("error", [LengthwiseError("ours"), InvalidInput("ours", "items[0]"), EngineError("ours")])
def test_our_own_messages_are_shown(error: BaseException) -> None:
    [shown] = raised(caught(fails(error)))["raised"]
    assert (shown["class"], shown["message"]) == (type(error).__name__, "ours")
    assert shown["frames"][-1].startswith("tests/unit/logs/test_raised.py:")
    assert shown["frames"][-1].endswith(" raises")


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError(CANARY), "ValueError"),
        (KeyError(CANARY), "KeyError"),
        (UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY), "UnicodeDecodeError"),
        (httpcore.ProtocolError(CANARY), "httpcore.ProtocolError"),
        (ExceptionGroup(CANARY, [ValueError(CANARY)]), "ExceptionGroup"),
    ],
)
def test_a_librarys_message_is_not(error: BaseException, name: str) -> None:
    shown = raised(caught(fails(error)))["raised"]
    assert shown[0]["class"] == name
    assert shown[0]["frames"]
    assert CANARY not in str(shown)


def test_it_is_shown_if_no_text_can_be_in_it() -> None:
    [shown] = raised(caught(fails(ValueError("no such kernel"))), with_messages=True)["raised"]
    assert shown["message"] == "no such kernel"


@pytest.mark.parametrize("is_hidden", [False, True])
def test_the_error_that_led_to_ours_is_shown_without_its_message(is_hidden: bool) -> None:
    def act() -> None:
        try:
            fails(ValueError(CANARY))()
        except ValueError as error:
            raise EngineError("the batch failed") from (None if is_hidden else error)

    first, second = raised(caught(act))["raised"]
    assert (first["message"], second["class"]) == ("the batch failed", "ValueError")
    assert second["frames"][-1].endswith(" raises")
    assert CANARY not in str([first, second])


def test_a_group_shows_the_first_of_its_errors() -> None:
    group = ExceptionGroup("of two", [EngineError("first"), EngineError("second")])
    assert [shown.get("message") for shown in raised(group)["raised"]] == [None, "first"]


def test_long_chains_and_deep_recursions_are_cut() -> None:
    def deep(n: int) -> None:
        if n == 0:
            raise ValueError
        deep(n - 1)

    error = caught(lambda: deep(200))
    for _ in range(20):
        error = caught(fails(LengthwiseError("again"), error))
    shown = raised(error)["raised"]
    assert len(shown) == 5
    assert all(len(each["frames"]) <= 20 for each in shown)


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = LengthwiseError("first"), LengthwiseError("second")
    first.__cause__, second.__cause__ = second, first
    assert [shown["message"] for shown in raised(first)["raised"]] == ["first", "second"]
