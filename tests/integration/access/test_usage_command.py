"""``lengthwise usage``, against a running API."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console
from starlette.testclient import TestClient

from lengthwise.cli.accounts import usage
from lengthwise.cli.accounts.usage import SummedBy
from lengthwise.errors import ConfigurationError
from tests.integration.access import keys
from tests.integration.access.test_key_commands import Run, read_output, run
from tests.ledger import DEFAULT, sql

__all__ = ["run"]

DAYS = ("--from", "2031-01-30", "--to", "2031-01-31")


@pytest.fixture(autouse=True)
def used(client: TestClient) -> None:
    work = "INSERT INTO model_usage VALUES (:tenant, :day, :key, :model, :items, :items * 10, :items * 100)"
    for day, model, items in (("2031-01-30", "a", 1), ("2031-01-30", "b[1]", 20), ("2031-01-31", "a", 300)):
        sql(work, tenant=DEFAULT, day=day, key=DEFAULT, model=model, items=items)
    sql("INSERT INTO usage (tenant_id, day, key_id, requests) VALUES (:t, '2031-01-31', :t, 4000)", t=DEFAULT)


def test_usage_is_shown_by_day_and_by_what_is_named(run: Run) -> None:
    by_day = run("usage", *DAYS)
    assert by_day.exit_code == 0, by_day.output
    rows = [line.split() for line in by_day.stdout.splitlines()]
    assert rows[1:] == [
        ["2031-01-30", "0", "21", "210", "2,100"],
        ["2031-01-31", "4,000", "300", "3,000", "30,000"],
    ]
    by_model = [line.split() for line in run("usage", *DAYS, "--by", "model").stdout.splitlines()]
    assert [row[0] for row in by_model] == ["model", "–", "a", "b[1]"]
    by_key = run("usage", *DAYS, "--by", "key", "--by", "model").stdout
    assert by_key.count(str(DEFAULT)) == 3


def test_json_and_csv_have_every_figure(run: Run) -> None:
    found = read_output(run("usage", *DAYS, "--by", "model", "--by", "day", "--json"))
    assert [(row["model"], row["items"]) for row in found] == [("a", 1), ("b[1]", 20), (None, 0), ("a", 300)]
    table = run("usage", *DAYS, "--by", "model", "--by", "day", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert list(rows[0]) == ["model", "day", "requests", "items", "input_tokens", "output_tokens"]
    assert [{name: value or None for name, value in row.items()} for row in rows] == [
        {name: None if row[name] is None else str(row[name]) for name in rows[0]} for row in found
    ]
    both = run("usage", "--csv", "--json")
    assert isinstance(both.exception, ConfigurationError)


def test_an_admin_sees_the_usage_of_a_tenant(run: Run, client: TestClient) -> None:
    tenant = keys.new_tenant(client)
    sql("INSERT INTO usage (tenant_id, day, key_id, requests) VALUES (:t, '2031-01-31', :t, 5)", t=tenant)
    [row] = read_output(run("usage", *DAYS, "--tenant", tenant, "--json"))
    assert (row["day"], row["requests"]) == ("2031-01-31", 5)
    assert "there is no such tenant" in run("usage", "--tenant", "nobody").stderr


def test_a_refusal_names_the_option(run: Run) -> None:
    ran = run("usage", "--from", "2031-02-30")
    assert (ran.exit_code, "from" in ran.stderr) == (3, True)
    assert run("usage", "--by", "week").exit_code == 2


ROWS: list[dict[str, Any]] = [
    {"day": day, "requests": 0, "items": 0, "input_tokens": tokens, "output_tokens": 0}
    for day, tokens in (("2031-01-30", 50), ("2031-01-31", 100), ("2031-02-01", 0))
]


def shown(rows: list[dict[str, Any]] = ROWS, by: Sequence[SummedBy] = (SummedBy.DAY,), **options: Any) -> str:
    console = Console(file=io.StringIO(), **({"width": 200} | options))
    usage._show(rows, list(by), console)
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_a_terminal_shows_bars_of_tokens_and_a_pipe_does_not() -> None:
    bars = [line.count("█") for line in shown(force_terminal=True, color_system=None).splitlines()]
    assert bars == [0, 15, 30, 0]
    assert "█" not in shown()


@pytest.mark.parametrize(("width", "longest"), [(200, 30), (80, 20), (66, 0), (40, 0)])
def test_bars_take_the_room_that_names_and_figures_leave(width: int, longest: int) -> None:
    found = shown(force_terminal=True, color_system=None, width=width)
    assert max(line.count("█") for line in found.splitlines()) == longest


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_character_of_a_name_is_left_out(width: int) -> None:
    names = {"key": str(DEFAULT), "model": "organization/a-model-of-an-unusually-long-name"}
    found = shown([names | row for row in ROWS], list(SummedBy), force_terminal=True, color_system=None, width=width)
    assert "…" not in found
    assert found.count("z") == len(ROWS) * names["model"].count("z")


def test_no_usage_is_an_empty_table() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    usage._show([], [SummedBy.DAY], console)
