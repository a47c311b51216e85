"""While as much waits as may wait, jobs are refused before they are read; the figures cost next to nothing."""

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
from api.http import body
from api.jobs.backlog import Backlog
from lengthwise import database
from lengthwise.errors import TooBusy
from lengthwise.ledger.queue import pending
from tests import servers as real
from tests.integration.conftest import RunWorker, look, serving, submit
from tests.ledger import sql


@pytest.fixture
def small(servers: real.Urls, tmp_path: Path) -> Iterator[TestClient]:
    """An API that refuses jobs while 100 tokens wait, or 60 of one tenant."""
    with serving(servers, tmp_path, max_pending_tokens=100, max_tenant_pending_tokens=60) as client:
        yield client


def backlog(client: TestClient) -> Backlog:
    found: Backlog = client.app.state.shared.backlog  # type: ignore[attr-defined]
    return found


def measure_again(client: TestClient) -> None:
    backlog(client)._due_at = 0


def post(client: TestClient, length: int, **headers: str) -> httpx2.Response:
    return client.post("/v1/jobs", json={"kind": "generate", "items": ["x" * length]}, headers=headers)


def test_a_job_is_taken_whole_while_there_is_room_and_none_when_there_is_not(small: TestClient) -> None:
    assert post(small, 59).status_code == 202
    assert post(small, 30).status_code == 202, "there was room when it came"
    refused = post(small, 1)
    assert (refused.status_code, refused.json()["title"]) == (429, "too busy")
    assert 1 <= int(refused.headers["retry-after"]) <= 300
    assert refused.headers["content-type"] == "application/problem+json"


def test_what_this_process_took_counts_at_once_and_once(small: TestClient) -> None:
    assert post(small, 40).status_code == 202
    measure_again(small)
    assert post(small, 10).status_code == 202, "40 were measured, and no longer counted on top"
    assert post(small, 10).status_code == 202
    assert post(small, 1).status_code == 429


def test_there_is_room_again_when_work_is_done(small: TestClient) -> None:
    job = post(small, 80).json()
    assert post(small, 1).status_code == 429
    small.post(job["links"]["cancel"])
    measure_again(small)
    assert post(small, 1).status_code == 202


def test_a_tenants_own_limit_overrides_the_settings(small: TestClient) -> None:
    sql("UPDATE tenants SET max_pending_tokens = 20")
    measure_again(small)
    assert post(small, 20).status_code == 202
    assert post(small, 1).status_code == 429
    sql("UPDATE tenants SET max_pending_tokens = 90")
    measure_again(small)
    assert post(small, 20).status_code == 202


def test_one_tenant_does_not_close_the_door_on_another_but_all_together_do(small: TestClient) -> None:
    assert post(small, 70).status_code == 202
    assert post(small, 1).status_code == 429
    stranger = uuid4()
    sql("INSERT INTO tenants (id, name) VALUES (:id, 'stranger')", id=stranger)
    small.app.dependency_overrides[auth.current] = lambda: stranger  # type: ignore[attr-defined]
    assert post(small, 40).status_code == 202
    refused = post(small, 1)
    assert refused.status_code == 429
    assert "all jobs together" in refused.json()["detail"]


def test_nothing_of_a_refused_body_is_read(small: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert post(small, 70).status_code == 202

    def unreadable(*_: object) -> None:
        raise AssertionError("the body was read")

    monkeypatch.setattr(body, "spooled", unreadable)
    assert post(small, 1).status_code == 429


def test_a_request_that_was_taken_is_answered_though_there_is_no_room(small: TestClient) -> None:
    first = post(small, 70, **{"Idempotency-Key": "a"})
    assert post(small, 70, **{"Idempotency-Key": "a"}).json()["id"] == first.json()["id"]
    assert post(small, 70, **{"Idempotency-Key": "b"}).status_code == 429


def test_a_retry_needs_room_too(small: TestClient) -> None:
    job = submit(small, ["x" * 5, "x" * 600])
    small.post(job["links"]["cancel"])
    sql("UPDATE tenants SET max_pending_tokens = 0")
    measure_again(small)
    assert small.post(job["links"]["retry"]).status_code == 429


def test_reading_and_cancelling_need_no_room(small: TestClient) -> None:
    job = post(small, 100).json()
    assert look(small, job["id"])["state"] == "queued"
    assert small.post(job["links"]["cancel"]).status_code == 200
    assert small.delete(job["links"]["self"]).status_code == 204


def test_the_figures_are_measured_at_most_once_a_second_and_a_twentieth_of_the_time(
    small: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []
    real_sums = pending.by_tenant

    def slow(connection: Any) -> Any:
        times.append(time.monotonic())
        time.sleep(0.1)
        return real_sums(connection)

    monkeypatch.setattr(pending, "by_tenant", slow)
    for _ in range(20):
        post(small, 1)
    assert len(times) == 1
    wait = backlog(small)._due_at - times[0]
    assert wait > 2.0, "twenty times what it took"


def test_while_one_measures_the_others_go_by_the_last_figures(
    small: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(small, 1).status_code == 202
    measure_again(small)
    began, go_on = Event(), Event()
    real_sums = pending.by_tenant

    def held(connection: Any) -> Any:
        began.set()
        assert go_on.wait(30)
        return real_sums(connection)

    monkeypatch.setattr(pending, "by_tenant", held)
    measuring = Thread(target=backlog(small).measure)
    measuring.start()
    assert began.wait(30)
    assert post(small, 80).status_code == 202
    assert post(small, 1).status_code == 429, "what was taken during a measurement counts"
    go_on.set()
    measuring.join()
    assert post(small, 1).status_code == 429


def test_all_wait_for_the_first_figures(small: TestClient) -> None:
    with database.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE tenants SET max_pending_tokens = 0")
    at_once, refused = Barrier(4), []

    def check() -> None:
        at_once.wait()
        backlog(small).measure()
        try:
            backlog(small).check(auth.DEFAULT)
        except TooBusy:
            refused.append(1)

    threads = [Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 4


def test_the_wait_follows_the_rate_at_which_work_is_done(small: TestClient) -> None:
    assert post(small, 50).status_code == 202
    measure_again(small)
    assert post(small, 10).status_code == 202
    shared = backlog(small)
    shared._rate = 2.0
    shared.add(auth.DEFAULT, 40)
    assert post(small, 1).headers["retry-after"] == "20", "40 tokens too many, two a second"
    shared._rate = 0.001
    assert post(small, 1).headers["retry-after"] == "300"
    shared._rate = -5
    assert post(small, 1).headers["retry-after"] == "5"


def test_sums_are_those_of_open_shards(client: TestClient, run_worker: RunWorker) -> None:
    submit(client, ["x" * 10])
    run_worker()
    submit(client, ["x" * 20, "x" * 600])
    cancelled = submit(client, ["x" * 40])
    client.post(cancelled["links"]["cancel"])
    with database.engine().begin() as connection:
        sums = pending.by_tenant(connection)
    assert {each.tokens for each in sums.values()} == {20}
