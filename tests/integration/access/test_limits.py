"""A tenant's limits on requests and open jobs, and how answers state them."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx2
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise import database
from lengthwise.ledger.accounts import rate
from lengthwise.settings import Settings
from tests.caller import calling
from tests.integration.access import keys
from tests.integration.conftest import RunWorker
from tests.ledger import DEFAULT, sql

JOB = {"kind": "generate", "items": ["abc"]}


def limited(client: TestClient, **limits: Any) -> str:
    """The key of a tenant with these limits."""
    key: str = keys.new_key(client, "submit", "read", tenant=keys.new_tenant(client, **limits))["key"]
    return key


@pytest.fixture
def other(client: TestClient, installed: Settings) -> Iterator[TestClient]:
    """A second API process on the same servers."""
    with calling(create_app()) as made:
        yield made


def read_headers(answer: httpx2.Response) -> tuple[int, int]:
    """The requests left, and the seconds until the full quota is available, as the headers say."""
    found = re.fullmatch(r'"requests";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert found
    return int(found[1]), int(found[2])


def test_every_process_refuses_requests_beyond_the_limit_and_says_when_to_retry(
    client: TestClient, other: TestClient
) -> None:
    key = limited(client, max_requests_per_minute=3)
    answers = [keys.ask(process, key) for process in (client, other, client, other, client)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [read_headers(answer)[0] for answer in answers] == [2, 1, 0, 0, 0]
    for answer in answers:
        assert answer.headers["ratelimit-policy"] == '"requests";q=3;w=60'
        assert 0 < read_headers(answer)[1] <= 60
    for refused in answers[3:]:
        assert 0 < int(refused.headers["retry-after"]) <= 20
        assert "which is the limit" in refused.json()["detail"]


def test_requests_are_allowed_again_as_the_bucket_refills(client: TestClient) -> None:
    key = limited(client, max_requests_per_minute=2)
    assert [keys.ask(client, key).status_code for _ in range(3)] == [200, 200, 429]
    sql("UPDATE rates SET full_at = full_at - interval '30 seconds'")
    client.app.state.shared.rate_limits._refused.clear()  # type: ignore[attr-defined]  # as if that time had passed here
    assert [keys.ask(client, key).status_code for _ in range(2)] == [200, 429]


def test_every_answer_has_rate_limit_headers_errors_and_downloads_included(client: TestClient) -> None:
    key = limited(client, max_requests_per_minute=10)
    job = keys.ask(client, key, "POST", json=JOB).json()
    left = [
        read_headers(keys.ask(client, key, path=path))[0]
        for path in (job["links"]["results"], "/v1/jobs/none", "/v1/jobs?limit=0", "/v1/keys", "/v1/models")
    ]
    assert all(each < 10 for each in left)


def test_without_a_limit_there_are_no_rate_limit_headers(client: TestClient) -> None:
    key = limited(client)
    assert "ratelimit" not in keys.ask(client, key).headers
    assert "ratelimit" not in client.get("/v1/jobs").headers


def test_the_default_limit_is_for_tenants_without_their_own_and_not_for_the_admin_key(
    catalog: object, installed: Settings
) -> None:
    strict = installed.model_copy(update={"max_requests_per_minute": 1, "max_open_jobs": 1})
    with calling(create_app(strict)) as client:
        usual, special = limited(client), keys.new_tenant(client, "other", max_requests_per_minute=50, max_open_jobs=2)
        richer = keys.new_key(client, "submit", tenant=special)["key"]
        assert [keys.ask(client, usual).status_code for _ in range(2)] == [200, 429]
        assert [keys.ask(client, richer, "POST", json=JOB).status_code for _ in range(3)] == [202, 202, 429]
        assert client.post("/v1/jobs", json=JOB).status_code == 202
        assert client.post("/v1/jobs", json=JOB).status_code == 202


def test_concurrent_requests_do_not_exceed_the_limit(installed: Settings) -> None:
    def take(_: int) -> bool:
        with database.engine().begin() as connection:
            return rate.take_request(connection, DEFAULT, 10).is_allowed

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(40))) == 10


@pytest.mark.parametrize("per_minute", [1, 7, 60, 100_000])
def test_the_remaining_requests_count_down_to_zero(installed: Settings, per_minute: int) -> None:
    with database.engine().begin() as connection:
        taken = rate.take_request(connection, DEFAULT, per_minute)
        assert (taken.is_allowed, taken.left) == (True, per_minute - 1)
        assert 0 < taken.full_in <= 60 / per_minute
        connection.exec_driver_sql("UPDATE rates SET full_at = now() + interval '1 minute'")
        refused = rate.take_request(connection, DEFAULT, per_minute)
        # The bucket refills between the statements, so their timing is taken into account.
        assert refused.is_allowed is (refused.full_in < 60 and per_minute == 100_000)


def test_jobs_beyond_the_limit_of_open_jobs_are_refused_until_one_has_ended(
    client: TestClient, other: TestClient, run_worker: RunWorker
) -> None:
    key = limited(client, max_open_jobs=2)
    answers = [keys.ask(process, key, "POST", json=JOB) for process in (client, other, client)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[2].headers["retry-after"]) > 0
    assert sql("SELECT count(*) FROM jobs") == sql("SELECT count(*) FROM items") == [(2,)]
    assert keys.ask(client, key, path=answers[0].json()["links"]["self"]).status_code == 200
    run_worker()
    assert keys.ask(client, key, "POST", json=JOB).status_code == 202


def test_concurrent_submissions_do_not_exceed_the_limit_of_open_jobs(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first check is disabled, as if all requests had passed it at the same moment."""
    key = limited(client, max_open_jobs=3)
    monkeypatch.setattr("api.jobs.backpressure._check_open_jobs", lambda *_: None)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: keys.ask(client, key, "POST", json=JOB), range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 5
    assert sql("SELECT count(*) FROM jobs") == [(3,)]


def test_a_repeated_request_is_answered_even_at_the_limit_of_open_jobs(client: TestClient) -> None:
    key = limited(client, max_open_jobs=1)
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "a"}
    first, again = (client.post("/v1/jobs", json=JOB, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert UUID(again.json()["id"]) == UUID(first.json()["id"])
