"""Usage by key and day: requests, and the work of jobs, which is counted once however they end."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from lengthwise.key import INSTALLATION
from lengthwise.settings import Settings
from tests.integration.access import keys
from tests.integration.conftest import RunWorker, read_job, submit
from tests.ledger import DEFAULT, put, sql, take_all
from tests.servers import wait_until
from tests.workers import sweep

DONE = ("items", "input_tokens", "output_tokens")
NOTHING = dict.fromkeys(DONE, 0)


def usage(client: TestClient, **params: str) -> list[dict[str, Any]]:
    answer = client.get("/v1/usage", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def work_done(client: TestClient, key: str | None = None) -> dict[str, int]:
    """The usage of this key, or of the admin key of the settings."""
    found = [row for row in usage(client) if row["key"] == key]
    return {name: sum(row[name] for row in found) for name in DONE}


def expected(jobs: list[dict[str, Any]]) -> dict[str, int]:
    """The usage that the jobs' own figures add up to."""
    items = sum(job["counts"]["succeeded"] + job["counts"]["failed"] for job in jobs)
    return {"items": items} | {name: sum(job["usage"][name] for job in jobs) for name in DONE[1:]}


def test_requests_are_counted_by_their_key_and_day(client: TestClient) -> None:
    made = keys.new_key(client, "read")
    for _ in range(3):
        keys.ask(client, made["key"])
    keys.ask(client, made["key"], "POST")  # admitted, and then refused because of its scope
    client.get("/v1/jobs", headers={"Authorization": "Bearer none"})
    rows = {row["key"]: row for row in usage(client)}
    assert rows[made["id"]]["requests"] == 4
    assert rows[None]["requests"] == 2
    assert {row["day"] for row in rows.values()} <= {f"{datetime.now(UTC).date() - timedelta(n)}" for n in (0, 1)}


def test_request_counts_are_written_without_a_query(client: TestClient) -> None:
    client.get("/v1/jobs")
    wait_until(lambda: sql("SELECT sum(requests) FROM usage") == [(1,)], patience=20)


@pytest.mark.parametrize("how", ["completed", "cancelled", "deleted", "expired"])
def test_a_job_is_counted_once_by_the_work_that_was_done(
    client: TestClient, installed: Settings, run_worker: RunWorker, how: str
) -> None:
    made = keys.new_key(client, "submit", "read")
    body = {"kind": "generate", "items": ["abc", "defgh", "x" * 200]}
    job = keys.ask(client, made["key"], "POST", json=body).json()
    first, *_ = take_all(job_pool(job))
    assert len(first.items) < 3
    put(first)
    so_far = read_job(client, job["id"])
    sweep()
    assert work_done(client, made["id"]) == NOTHING, "an open job counts for nothing yet"
    ending: dict[str, Callable[[], object]] = {
        "completed": run_worker,
        "cancelled": lambda: client.post(job["links"]["cancel"]),
        "deleted": lambda: client.delete(job["links"]["self"]),
        "expired": lambda: sql("UPDATE jobs SET deadline_at = now() - interval '1 second'"),
    }
    sql("UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL WHERE state = 'leased'")
    ending[how]()
    sweep()
    sweep()
    ended = read_job(client, job["id"]) if how != "deleted" else so_far
    assert expected([ended])["items"] == (3 if how == "completed" else len(first.items)) > 0
    assert work_done(client, made["id"]) == expected([ended])
    assert work_done(client) == NOTHING
    if how == "deleted":
        assert sql("SELECT count(*) FROM jobs") == sql("SELECT count(*) FROM shards") == [(0,)]


def job_pool(job: dict[str, Any]) -> str:
    pool: str = sql("SELECT pool FROM shards WHERE job_id = :job LIMIT 1", job=job["id"])[0][0]
    return pool


def test_the_jobs_of_two_keys_are_counted_separately(client: TestClient, run_worker: RunWorker) -> None:
    made = keys.new_key(client, "submit", "read")
    own = [submit(client, ["abc"] * number) for number in range(1, 70)]
    theirs = [
        keys.ask(client, made["key"], "POST", json={"kind": "generate", "items": ["abcd"]}).json() for _ in range(60)
    ]
    run_worker()
    sweep()
    assert work_done(client) == expected([read_job(client, job["id"]) for job in own])
    assert work_done(client, made["id"]) == expected([read_job(client, job["id"]) for job in theirs])
    assert sql("SELECT count(*) FROM jobs WHERE usage_due") == [(0,)]


def test_a_job_of_the_previous_release_counts_for_no_key(client: TestClient, run_worker: RunWorker) -> None:
    submit(client, ["abc"])
    sql("UPDATE jobs SET key_id = NULL, usage_due = false")
    run_worker()
    sweep()
    assert work_done(client) == NOTHING


def test_usage_is_summed_by_whatever_is_named(client: TestClient) -> None:
    made = keys.new_key(client, "read", "submit")["id"]
    work = "INSERT INTO model_usage VALUES (:tenant, :day, :key, :model, :items, :items * 10, :items * 100)"
    for day, key, model, items in (
        ("2031-01-30", made, "a", 1),
        ("2031-01-30", made, "b", 2),
        ("2031-01-30", str(INSTALLATION), "a", 4),
        ("2031-01-31", made, "a", 8),
    ):
        sql(work, tenant=DEFAULT, day=day, key=key, model=model, items=items)
    sql("INSERT INTO usage VALUES (:tenant, '2031-01-30', :key, 7, 16, 160, 1600)", tenant=DEFAULT, key=made)

    def sums(*by: str) -> list[tuple[Any, ...]]:
        answer = client.get("/v1/usage", params={"from": "2031-01-30", "to": "2031-01-31", "by": list(by)})
        assert answer.status_code == 200, answer.text
        rows = answer.json()["data"]
        assert all(row.keys() == {*(by or ("day", "key")), "requests", *DONE} for row in rows)
        assert all(row["output_tokens"] == 10 * row["input_tokens"] == 100 * row["items"] for row in rows)
        return [tuple(row[name] for name in (*by, "requests", "items")) for row in rows]

    assert sums("day") == [("2031-01-30", 7, 23), ("2031-01-31", 0, 8)]
    assert sums("model") == [(None, 7, 16), ("a", 0, 13), ("b", 0, 2)]
    assert sorted(sums("key"), key=str) == sorted([(None, 0, 4), (made, 7, 27)], key=str)
    assert sums("model", "day") == [
        (None, "2031-01-30", 7, 16),
        ("a", "2031-01-30", 0, 5),
        ("b", "2031-01-30", 0, 2),
        ("a", "2031-01-31", 0, 8),
    ]
    assert len(sums()) == 3
    refused = client.get("/v1/usage", params={"by": "CaNaRy"})
    assert (refused.status_code, "CaNaRy" in refused.text) == (422, False)


def test_work_is_counted_by_the_model_of_its_job(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", "de"])
    run_worker()
    sweep()
    _, row = client.get("/v1/usage", params={"by": "model"}).json()["data"]
    assert {name: row[name] for name in ("model", *DONE)} == {"model": "echo"} | expected([read_job(client, job["id"])])
    assert sql("SELECT sum(items) FROM usage") == [(0,)], "what has a model is counted once"


def test_usage_is_by_tenant_and_by_the_chosen_days(client: TestClient) -> None:
    stranger = keys.new_tenant(client)
    admin = keys.new_key(client, "admin", tenant=stranger)
    for day in ("2031-01-30", "2031-01-31", "2031-02-01"):
        sql("INSERT INTO usage (tenant_id, day, key_id, requests) VALUES (:tenant, :day, :key, 5)",
            tenant=stranger, day=day, key=admin["id"])  # fmt: skip
    days = {"from": "2031-01-31", "to": "2031-02-01"}
    assert usage(client, **days) == []
    theirs = keys.ask(client, admin["key"], path="/v1/usage", params=days).json()["data"]
    assert [(row["day"], row["requests"]) for row in theirs] == [("2031-01-31", 5), ("2031-02-01", 5)]
    assert client.get(f"/v1/tenants/{stranger}/usage", params=days).json()["data"] == theirs
    path = f"/v1/tenants/{DEFAULT}/usage"
    assert keys.ask(client, admin["key"], path=path, params=days).status_code == 404


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "2031-02-30"}, "from"),
        ({"from": "0"}, "from"),
        ({"to": "CaNaRy"}, "to"),
        ({"from": "2031-01-02", "to": "2031-01-01"}, "from"),
        ({"from": "2030-01-01", "to": "2031-01-02"}, "from"),
        ({"from": "0000-01-01"}, "from"),
    ],
)
def test_invalid_days_and_too_many_days_are_refused(client: TestClient, params: dict[str, str], field: str) -> None:
    answer = client.get("/v1/usage", params=params)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert "CaNaRy" not in answer.text
    assert client.get("/v1/usage", params={"to": "0001-01-01"}).status_code == 200
