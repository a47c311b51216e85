"""Estimates through the client and the command line, against the real API."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from lengthwise import AsyncClient, Client
from lengthwise.cli import estimate as command
from lengthwise.cli.main import app
from lengthwise.client import ColumnNames, InvalidInputError
from tests.integration.client.test_client import url
from tests.ledger import sql

__all__ = ["url"]

LOAD = {"memory_bytes": 1, "items_per_second": 2.5, "tokens_per_second": 2, "precision": "fp32", "device": "cpu",
        "threads": 1}  # fmt: skip


@pytest.fixture(autouse=True)
def here(url: str, api_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LENGTHWISE_URL", url)
    monkeypatch.setenv("LENGTHWISE_API_KEY", api_key)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0, **options: Any) -> Result:
    ran = CliRunner().invoke(app, list(arguments), **options)
    assert ran.exit_code == code, ran.output
    return ran


def test_the_client_estimates_what_it_would_submit(here: Path) -> None:
    (here / "in.csv").write_text("title\nabc\nde\n")
    with Client() as client:
        found = client.estimate(["abc", "x" * 600], kind="generate", n_items=200)
        assert (found.items, found.measured_items, found.failing_items) == (200, 2, 100)
        assert (found.input_tokens, found.shards, found.refusals) == (300, 100, [])
        assert found.speed.tokens_per_second is None
        assert found.speed.reason
        named: dict[str, Any] = {"name": "nightly", "tags": ["shop"], "source_file": "in.csv"}
        table = client.estimate_file("in.csv", kind="generate", columns=ColumnNames("title"), sample=1, **named)
        assert (table.items, table.measured_items, table.input_tokens) == (2, 1, 6)
        with pytest.raises(InvalidInputError, match="kind"):
            client.estimate(["abc"], kind="nonsense")
        with pytest.raises(InvalidInputError):
            client.estimate(["abc"], kind="generate", tags=["not one word"])
        assert list(client.jobs()) == []


def test_the_async_client_estimates_too(here: Path) -> None:
    async def texts() -> AsyncIterator[str]:
        yield "abc"
        yield "de"

    async def both() -> list[int]:
        (here / "in.txt").write_text("abc\nde\n")
        async with AsyncClient() as client:
            given = [await client.estimate(items, kind="generate") for items in (texts(), ["abc", "de"])]
            return [each.input_tokens for each in (*given, await client.estimate_file("in.txt", kind="generate"))]

    assert asyncio.run(both()) == [5, 5, 5]


def test_the_command_says_what_a_file_would_take(here: Path, catalog: Path) -> None:
    (here / "in.txt").write_text("abc\n" * 50 + "x" * 600 + "\n")
    ran = run("estimate", "in.txt", "--kind", "generate")
    assert "51, of which 1 would fail at once" in ran.stdout
    assert "150 in 1 shard, and 0 of padding" in ran.stdout
    assert "lengthwise model check echo" in ran.stdout
    (catalog.parent / "echo" / "report.json").write_text(json.dumps({"load": LOAD}))
    ran = run("estimate", "in.txt", "--kind", "generate", "--priority", "interactive")
    assert "priority interactive" in ran.stdout
    assert "2 tokens/s, of one worker, in a short trial" in ran.stdout
    assert "75 s" in ran.stdout
    assert ran.stderr == ""
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


def test_the_command_takes_the_options_of_a_submission(here: Path) -> None:
    (here / "in.csv").write_text("titel;text\n我;你\n你;好\n")
    options = ["--kind", "translate", "--from", "zh", "--to", "en", "-p", "beams=2", "--column", "titel",
               "--name", "nightly", "--tag", "shop"]  # fmt: skip
    found = json.loads(run("estimate", "in.csv", *options, "--column", "text", "--delimiter", ";", "--json").stdout)
    assert (found["kind"], found["items"]) == ("translate", 4)
    piped = run("estimate", "-", "--kind", "generate", "--format", "txt", "--json", input=b"abc\nde\n")
    assert json.loads(piped.stdout)["input_tokens"] == 5
    sampled = run(
        "estimate", "-", "--kind", "generate", "--sample", "1", "--items", "9", "--json", input=b'"abc"\n"x"\n'
    )
    assert json.loads(sampled.stdout)["items"] == 9
    assert json.loads(sampled.stdout)["input_tokens"] == 27


def test_mistakes_end_as_those_of_a_submission(here: Path) -> None:
    (here / "in.txt").write_text("abc\n")
    assert "cannot be read" in run("estimate", "nowhere.txt", "--kind", "generate", code=2).stderr
    assert "unknown kind" in run("estimate", "in.txt", "--kind", "nonsense", code=3).stderr
    assert "n_items" in run("estimate", "-", "--kind", "generate", "--items", "1", input=b'"a"\n"b"\n', code=3).stderr


def test_what_would_refuse_the_job_is_said_on_stderr(client: TestClient) -> None:
    ran = run("estimate", "-", "--kind", "generate", "--items", "2000000", input=b'"abc"\n')
    assert "it would be refused now: a job may have at most 1000000 items" in ran.stderr
    assert "2,000,000, from the first 1" in ran.stdout


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "120 min"), (7_200, "2 h"), (200_000, "2 days")],
)
def test_a_duration_has_the_largest_unit_that_fits(seconds: float | None, said: str) -> None:
    assert command._duration(seconds) == said
