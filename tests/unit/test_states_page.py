"""docs/states.md names every state of the enums, in its diagrams and in its tables, and no other."""

import re
from enum import StrEnum
from pathlib import Path
from typing import get_args

import pytest

from api.openai.schema import StatusName
from lengthwise.states import BatchState, DeliveryState, JobState, Reason, ResultStatus, ShardState, WorkerState

PAGE = (Path(__file__).parents[2] / "docs" / "states.md").read_text("utf-8")


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    return str(found)


def states_of_diagram(text: str) -> set[str]:
    (diagram,) = re.findall(r"^```mermaid\nstateDiagram-v2\n(.*?)^```", text, re.S | re.M)
    arrows = re.findall(r"^ +(\S+) --> (\w+|\[\*\])(?:: .+)?$", diagram, re.M)
    assert len(arrows) == len(diagram.splitlines())
    return {state for arrow in arrows for state in arrow} - {"[*]"}


def states_of_table(text: str, head: str) -> set[str]:
    (table,) = re.findall(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)
    return {row.split("`")[1] for row in table.splitlines()}


@pytest.mark.parametrize(
    ("title", "states"),
    [
        ("Job", JobState),
        ("Shard", ShardState),
        ("Delivery", DeliveryState),
        ("Batch", BatchState),
        ("Worker", WorkerState),
    ],
)
def test_the_page_names_every_state_and_no_other(title: str, states: type[StrEnum]) -> None:
    named = {state.value for state in states}
    assert states_of_diagram(section(title)) == named
    assert states_of_table(section(title), "state") == named


def test_the_page_names_every_status_of_a_batch() -> None:
    assert states_of_table(section("Batch"), "status") == set(get_args(StatusName))


def test_the_page_names_every_status_of_an_item() -> None:
    assert [status.value for status in ResultStatus if f"`{status.value}`" not in section("Shard")] == []


def test_the_page_lists_every_reason_in_the_order_in_which_they_hold() -> None:
    (table,) = re.findall(r"^\| reason \|.*\n\|[-|]+\n((?:\|.*\n)+)", section("Why a job is not done"), re.M)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    assert [row[0].strip("`") for row in rows] == [reason.value for reason in Reason]
    assert all(len(row) == 3 and all(row) for row in rows), "each says what holds, and what to do"
