"""While too many tokens wait, jobs are refused before they are read. The figures cost next to nothing."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from starlette.testclient import TestClient

from api.access import auth
from api.http.spool import Spools
from api.jobs.backlog import Backlog
from lengthwise import database
from lengthwise.errors import TooBusy, Unavailable
from lengthwise.ledger import tally
from lengthwise.ledger.queue import pending
from lengthwise.settings import Settings
from tests import ledger
from tests import servers as real
from tests.integration.conftest import RunWorker, read_job, serving, submit
from tests.ledger import sql


@pytest.fixture
def limited_client(servers: real.Urls, tmp_path: Path) -> Iterator[TestClient]:
    """An API that refuses jobs while 100 tokens wait, or 60 of one tenant."""
    with serving(servers, tmp_path, max_pending_tokens=100, max_tenant_pending_tokens=60) as client:
        yield client


def backlog(client: TestClient) -> Backlog:
    found: Backlog = client.app.state.shared.backlog  # type: ignore[attr-defined]
    return found


def measure_again(client: TestClient) -> None:
    """Makes the figures old: the next request measures before it goes on."""
    backlog(client)._due_at = backlog(client)._measured_at = 0


def post(client: TestClient, length: int, **headers: str) -> httpx2.Response:
    return client.post("/v1/jobs", json={"kind": "generate", "items": ["x" * length]}, headers=headers)


def test_a_job_is_accepted_whole_below_the_limit_and_refused_above_it(limited_client: TestClient) -> None:
    assert post(limited_client, 59).status_code == 202
    assert post(limited_client, 30).status_code == 202, "there was room when it came"
    refused = post(limited_client, 1)
    assert (refused.status_code, refused.json()["title"]) == (429, "too busy")
    assert 1 <= int(refused.headers["retry-after"]) <= 300
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_job_of_this_process_counts_at_once_and_only_once(limited_client: TestClient) -> None:
    assert post(limited_client, 40).status_code == 202
    measure_again(limited_client)
    assert post(limited_client, 10).status_code == 202, "40 were measured, and no longer counted on top"
    assert post(limited_client, 10).status_code == 202
    assert post(limited_client, 1).status_code == 429


def test_jobs_are_accepted_again_when_work_is_done(limited_client: TestClient) -> None:
    job = post(limited_client, 80).json()
    assert post(limited_client, 1).status_code == 429
    limited_client.post(job["links"]["cancel"])
    measure_again(limited_client)
    assert post(limited_client, 1).status_code == 202


def test_a_tenants_own_limit_overrides_the_settings(limited_client: TestClient) -> None:
    sql("UPDATE tenants SET max_pending_tokens = 20")
    measure_again(limited_client)
    assert post(limited_client, 20).status_code == 202
    assert post(limited_client, 1).status_code == 429
    sql("UPDATE tenants SET max_pending_tokens = 90")
    measure_again(limited_client)
    assert post(limited_client, 20).status_code == 202


def test_one_tenants_backlog_does_not_block_another_but_the_total_does(limited_client: TestClient) -> None:
    assert post(limited_client, 70).status_code == 202
    assert post(limited_client, 1).status_code == 429
    stranger = uuid4()
    sql("INSERT INTO tenants (id, name) VALUES (:id, 'stranger')", id=stranger)
    limited_client.app.dependency_overrides[auth.current] = lambda: stranger  # type: ignore[attr-defined]
    assert post(limited_client, 40).status_code == 202
    refused = post(limited_client, 1)
    assert refused.status_code == 429
    assert "all jobs together" in refused.json()["detail"]


def test_a_refused_body_is_not_read(limited_client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert post(limited_client, 70).status_code == 202

    def unreadable(*_: object) -> None:
        raise AssertionError("the body was read")

    monkeypatch.setattr(Spools, "body", unreadable)
    assert post(limited_client, 1).status_code == 429


def test_a_repeated_request_is_answered_even_above_the_limit(limited_client: TestClient) -> None:
    first = post(limited_client, 70, **{"Idempotency-Key": "a"})
    assert post(limited_client, 70, **{"Idempotency-Key": "a"}).json()["id"] == first.json()["id"]
    assert post(limited_client, 70, **{"Idempotency-Key": "b"}).status_code == 429


def test_a_retry_is_refused_above_the_limit_too(limited_client: TestClient) -> None:
    job = submit(limited_client, ["x" * 5, "x" * 600])
    limited_client.post(job["links"]["cancel"])
    sql("UPDATE tenants SET max_pending_tokens = 0")
    measure_again(limited_client)
    assert limited_client.post(job["links"]["retry"]).status_code == 429


def test_reading_and_cancelling_are_never_refused(limited_client: TestClient) -> None:
    job = post(limited_client, 100).json()
    assert read_job(limited_client, job["id"])["state"] == "queued"
    assert limited_client.post(job["links"]["cancel"]).status_code == 200
    assert limited_client.delete(job["links"]["self"]).status_code == 204


def test_the_backlog_is_measured_at_most_once_a_second_and_a_twentieth_of_the_time(
    limited_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []
    real_sums = pending.sum_by_tenant

    def slow(connection: Any) -> Any:
        times.append(time.monotonic())
        time.sleep(0.1)
        return real_sums(connection)

    monkeypatch.setattr(pending, "sum_by_tenant", slow)
    for _ in range(20):
        post(limited_client, 1)
    assert len(times) == 1
    wait = backlog(limited_client)._due_at - times[0]
    assert wait > 2.0, "twenty times what it took"


def test_while_one_thread_measures_the_others_use_the_last_figures(
    limited_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(limited_client, 1).status_code == 202
    measure_again(limited_client)
    began, go_on = Event(), Event()
    backlog(limited_client)._measured_at = time.monotonic()
    real_sums = pending.sum_by_tenant

    def held(connection: Any) -> Any:
        began.set()
        assert go_on.wait(30)
        return real_sums(connection)

    monkeypatch.setattr(pending, "sum_by_tenant", held)
    measuring = Thread(target=backlog(limited_client).measure)
    measuring.start()
    assert began.wait(30)
    assert post(limited_client, 80).status_code == 202
    assert post(limited_client, 1).status_code == 429, "what was taken during a measurement counts"
    go_on.set()
    measuring.join()
    assert post(limited_client, 1).status_code == 429


def test_a_request_does_not_wait_for_a_measurement_that_its_figures_are_young_enough_to_skip(
    limited_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(limited_client, 1).status_code == 202
    backlog(limited_client)._due_at = 0
    began, go_on = Event(), Event()

    def held(connection: Any) -> Any:
        began.set()
        assert go_on.wait(30)
        raise Unavailable("the database is away")

    monkeypatch.setattr(pending, "sum_by_tenant", held)
    assert post(limited_client, 80).status_code == 202
    assert began.wait(30), "a thread measures"
    assert post(limited_client, 1).status_code == 429, "from the last figures, and what was taken since"
    go_on.set()
    while backlog(limited_client)._measuring.locked():
        time.sleep(0.01)
    assert post(limited_client, 1).status_code == 429, "a failed measurement changes nothing"


def test_all_threads_wait_for_the_first_figures(limited_client: TestClient) -> None:
    with database.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE tenants SET max_pending_tokens = 0")
    at_once, refused = Barrier(4), []

    def check() -> None:
        at_once.wait()
        backlog(limited_client).measure()
        try:
            backlog(limited_client).check(auth.DEFAULT)
        except TooBusy:
            refused.append(1)

    threads = [Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 4


def test_retry_after_follows_the_rate_of_work(limited_client: TestClient) -> None:
    assert post(limited_client, 50).status_code == 202
    measure_again(limited_client)
    assert post(limited_client, 10).status_code == 202
    shared = backlog(limited_client)
    shared._rate = 2.0
    shared.add(auth.DEFAULT, 40)
    assert post(limited_client, 1).headers["retry-after"] == "20", "40 tokens too many, two a second"
    shared._rate = 0.001
    assert post(limited_client, 1).headers["retry-after"] == "300"
    shared._rate = -5
    assert post(limited_client, 1).headers["retry-after"] == "5"


def test_the_backlog_is_the_sum_over_open_jobs(client: TestClient, run_worker: RunWorker) -> None:
    submit(client, ["x" * 10])
    run_worker()
    submit(client, ["x" * 20, "x" * 600])
    cancelled = submit(client, ["x" * 40])
    client.post(cancelled["links"]["cancel"])
    with database.engine().begin() as connection:
        sums = pending.sum_by_tenant(connection)
    assert {each.tokens for each in sums.values()} == {20}


def test_a_large_job_counts_only_what_is_not_done(installed: Settings) -> None:
    job = ledger.submit(["x" * 10] * (tally.MANY_SHARDS + 1), shard_items=1)
    ledger.put(ledger.must_take(items=3))
    with database.engine().begin() as connection:
        sums = pending.sum_by_tenant(connection)
    assert {each.tokens for each in sums.values()} == {10 * (tally.MANY_SHARDS - 2)}
    assert ledger.figures(job).n_done == 3
