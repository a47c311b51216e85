"""Moderation jobs of the demo model, from the request to the downloaded results."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from lengthwise import settings
from lengthwise.models.catalog import DEMO_CATALOG
from tests.integration.conftest import RunWorker, read_job, submit
from tests.ledger import sql

THREAT = "We should break the arm of all old people."
HARMLESS = "Our shop is closed on Friday. Have a nice day! "
ITEMS: list[dict[str, Any]] = [
    {"id": "plain", "text": THREAT},
    {
        "id": "hidden",
        "text": f"<p>Have a nice day!</p><img alt='{THREAT}'>",
        "metadata": {"scores": {"a": 0.123456789}},
    },
    {"id": "long", "text": HARMLESS * 500 + THREAT + HARMLESS * 500},
    {"id": "blank", "text": "&nbsp;<br>\u200b"},
]


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo models in place of the echo model."""
    monkeypatch.setenv("LENGTHWISE_MODELS", str(DEMO_CATALOG))
    settings.get.cache_clear()
    return DEMO_CATALOG


@pytest.fixture
def results(client: TestClient, run_worker: RunWorker) -> dict[str, dict[str, Any]]:
    job = submit(client, ITEMS, kind="moderate")
    run_worker()
    answer = client.get(f"/v1/jobs/{job['id']}/results")
    return {line["id"]: line for line in map(json.loads, answer.text.splitlines())} | {"job": job}


def test_every_text_is_moderated_however_long_or_blank_it_is(results: dict[str, dict[str, Any]]) -> None:
    assert {name: results[name]["status"] for name in ("plain", "hidden", "long", "blank")} == dict.fromkeys(
        ("plain", "hidden", "long", "blank"), "succeeded"
    )
    assert [results[name]["output"]["categories"]["hate"] for name in ("plain", "hidden", "long")] == [True] * 3
    assert results["hidden"]["output"]["scores"]["hate"] == results["plain"]["output"]["scores"]["hate"]
    text = ITEMS[2]["text"]
    start, end = results["long"]["output"]["spans"]["hate"]
    assert THREAT in text[start:end]
    assert end - start < len(text) / 20
    assert results["blank"]["output"] == {"flagged": False, "categories": {}, "scores": {}}
    assert results["blank"]["usage"] == {"input_tokens": 0, "output_tokens": 0}
    # Overlaps are read twice, and count twice.
    assert results["long"]["usage"]["input_tokens"] > 1.2 * len(text) / 5


class TestRounded:
    @pytest.fixture(autouse=True)
    def two_digits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LENGTHWISE_SCORE_DIGITS", "2")
        settings.get.cache_clear()

    def test_a_setting_rounds_the_scores_that_are_downloaded(
        self, client: TestClient, results: dict[str, dict[str, Any]]
    ) -> None:
        scores = results["plain"]["output"]["scores"].values()
        assert set(scores) == {round(score, 2) for score in scores}
        assert results["hidden"]["metadata"] == {"scores": {"a": 0.123456789}}
        table = client.get(f"/v1/jobs/{results['job']['id']}/results", params={"format": "csv"}).text
        rows = list(csv.DictReader(io.StringIO(table, newline="")))
        assert all(len(row["output.scores.hate"]) <= len("0.12") for row in rows)
        start, end = json.loads(rows[1]["output.spans.hate"])
        assert ITEMS[1]["text"][start:end] == THREAT


def test_a_text_whose_markup_never_ends_fails_alone_and_at_once(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, [HARMLESS, "<a x='" * 15_000, THREAT], kind="moderate")
    run_worker()
    found = [json.loads(line) for line in client.get(f"/v1/jobs/{job['id']}/results").text.splitlines()]
    assert [line["status"] for line in found] == ["succeeded", "failed", "succeeded"]
    assert found[1]["error"]["code"] == "too_intricate"
    assert found[2]["output"]["flagged"] is True


def test_few_texts_of_which_the_model_reads_nothing_are_in_one_claim(client: TestClient, run_worker: RunWorker) -> None:
    """Each of them is cleaned and cut, which takes as long as for any other text of its length."""
    job = submit(client, [" " * 90_000] * 20 + [" "] * 20, kind="moderate")
    assert sorted(count for (count,) in sql("SELECT hi - lo FROM shards")) == [1] * 20 + [20]
    run_worker()
    assert read_job(client, job["id"])["counts"]["succeeded"] == 40
