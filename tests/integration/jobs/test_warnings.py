"""Warnings of results, on their way through the real worker to the job, its tables, its events and filters."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.kinds.generate import GenerateKind
from lengthwise.kinds.kind import TextItem
from lengthwise.ledger.jobs import cancel
from lengthwise.ledger.queue import sweep
from lengthwise.ledger.webhooks import push
from lengthwise.states import ResultStatus
from tests import ledger
from tests.integration.conftest import RunWorker, read_job, submit
from tests.integration.webhooks.hooks import register
from tests.ledger import DEFAULT, must_take, sql

#: Each text names its own warnings, behind a star.
TEXTS = ["abc", "a*copied", "b*length,copied", " ", "c*copied", "d"]
CODES = [None, ["copied"], ["length", "copied"], ["blank"], ["copied"], None]
COUNTS = {"copied": 3, "length": 1, "blank": 1}


@pytest.fixture(autouse=True)
def warning(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = GenerateKind.warnings

    def warnings(
        self: GenerateKind, model: Any, params: Any, item: TextItem, output: dict[str, Any], answers: Any
    ) -> Any:
        _, star, codes = item.text.partition("*")
        return codes.split(",") if star else usual(self, model, params, item, output, answers)

    monkeypatch.setattr(GenerateKind, "warnings", warnings)


@pytest.fixture
def done(client: TestClient, run_worker: RunWorker) -> dict[str, Any]:
    made = submit(client, TEXTS)
    assert made["warnings"] == {}
    run_worker()
    return read_job(client, made["id"])


def test_a_result_has_its_warnings_and_one_without_any_has_no_such_member(
    client: TestClient, done: dict[str, Any]
) -> None:
    lines = [json.loads(line) for line in client.get(done["links"]["results"]).iter_lines()]
    assert [line.get("warnings") for line in lines] == CODES
    assert ["warnings" in line for line in lines] == [codes is not None for codes in CODES]


def test_a_job_counts_the_items_of_each_warning_wherever_it_is_shown(client: TestClient, done: dict[str, Any]) -> None:
    assert done["warnings"] == COUNTS
    assert done["counts"]["succeeded"] == len(TEXTS), "an item with warnings has succeeded"
    assert client.get("/v1/jobs").json()["data"][0]["warnings"] == COUNTS
    assert client.post(done["links"]["cancel"]).json()["warnings"] == COUNTS


@pytest.mark.parametrize("body_format", ["csv", "parquet"])
def test_a_table_of_results_always_has_a_column_of_warnings(
    client: TestClient, run_worker: RunWorker, done: dict[str, Any], body_format: str
) -> None:
    plain = submit(client, ["abc"])
    run_worker()

    def cells(job: dict[str, Any]) -> list[Any]:
        content = client.get(job["links"]["results"], params={"format": body_format}).content
        if body_format == "parquet":
            return list(pq.read_table(io.BytesIO(content))["warnings"].to_pylist())
        return [row["warnings"] or None for row in csv.DictReader(io.StringIO(content.decode(), newline=""))]

    assert [cell and json.loads(cell) for cell in cells(done)] == CODES
    assert cells(plain) == [None]


def test_the_event_of_a_jobs_end_has_its_warnings(client: TestClient, run_worker: RunWorker) -> None:
    register(client, "https://8.8.8.8/hook", "job.completed")
    submit(client, TEXTS)
    submit(client, ["abc"])
    run_worker()
    bodies = [
        json.loads(body)["data"]["warnings"] for (body,) in sql("SELECT body FROM deliveries ORDER BY created_at")
    ]
    assert sorted(bodies, key=len) == [{}, COUNTS]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("warnings != null", [1, 2, 3, 4]),
        ("warnings == null", [0, 5]),
        ('"copied" in warnings', [1, 2, 4]),
        ('"length" in warnings or "blank" in warnings', [2, 3]),
        ('"copied" in warnings and finish_reason == "stop"', [1, 2, 4]),
        ('"repeats" in warnings', []),
    ],
)
def test_a_filter_selects_results_by_their_warnings(
    client: TestClient, run_worker: RunWorker, condition: str, expected: list[int]
) -> None:
    endpoint = register(client, "https://8.8.8.8/hook", "job.results", filter=condition)
    submit(client, TEXTS)
    run_worker()
    with database.engine().begin() as connection:
        push.write_pages(connection, shards=1000)
    bodies = sql("SELECT body FROM deliveries WHERE endpoint_id = :id", id=UUID(endpoint["id"]))
    results = [result for (body,) in bodies for result in json.loads(body)["data"]["results"]]
    assert sorted(result["index"] for result in results) == expected
    assert all(result.get("warnings") == CODES[result["index"]] for result in results)


@pytest.fixture
def half_done(client: TestClient) -> Iterator[UUID]:
    """A job of 30 items in shards of ten. One shard is settled, one is leased, one is ready."""
    job = ledger.submit(["x"] * 30, shard_items=10)
    ledger.put(must_take(items=10), n_warned={"copied": 4, "length": 1})
    yield job


def test_the_counts_are_sums_over_shards_and_shards_without_warnings_store_none(half_done: UUID) -> None:
    ledger.put(must_take(items=10))
    ledger.put(must_take(items=10), n_warned={"copied": 2, "blank": 1})
    assert ledger.figures(half_done).n_warned == {"copied": 6, "length": 1, "blank": 1}
    assert sql("SELECT count(*) FROM shards WHERE n_warned IS NULL") == [(1,)]


def test_the_counts_of_a_cancelled_job_are_those_of_its_results(half_done: UUID) -> None:
    leased = must_take(items=10)
    with database.engine().begin() as connection:
        cancel.cancel(connection, half_done, DEFAULT)
    assert ledger.put(leased, n_warned={"copied": 10}).shard_ids == frozenset()
    assert ledger.figures(half_done).n_warned == {"copied": 4, "length": 1}
    assert ledger.counts(half_done)["cancelled"] == 20


def test_the_counts_of_an_expired_job_are_those_of_its_results(half_done: UUID) -> None:
    sql("UPDATE jobs SET deadline_at = now() - interval '1 second'")
    with database.engine().begin() as connection:
        cancel.expire(connection)
    assert ledger.figures(half_done).n_warned == {"copied": 4, "length": 1}
    assert ledger.counts(half_done)["expired"] == 20


def test_a_worker_whose_lease_was_lost_counts_no_warnings_and_settling_twice_counts_once(half_done: UUID) -> None:
    dead = must_take(items=10)
    ledger.let_leases_run_out()
    with database.engine().begin() as connection:
        sweep.expire_leases(connection, max_deaths=3)
    ledger.put(dead, n_warned={"copied": 10})
    for living in ledger.take_all():
        ledger.put(living, n_warned={"blank": 1})
        ledger.put(living, n_warned={"blank": 1})
    n_shards = sql("SELECT count(*) FROM shards WHERE state = 'done'")[0][0]
    assert ledger.figures(half_done).n_warned == {"copied": 4, "length": 1, "blank": n_shards - 1}


def test_a_job_that_retries_failed_items_counts_its_own_warnings(client: TestClient, run_worker: RunWorker) -> None:
    first = ledger.submit(["a*copied", "b*length"], shard_items=1)
    ledger.put(must_take(items=1), status=ResultStatus.FAILED)
    ledger.put(must_take(items=1), n_warned={"copied": 1})
    again = client.post(f"/v1/jobs/{first}/retry").json()
    run_worker()
    assert sum(read_job(client, again["id"])["warnings"].values()) == 1
    assert read_job(client, str(first))["warnings"] == {"copied": 1}
