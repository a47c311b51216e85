"""A request that waits for its job's end is answered soon after it, and never much later than its own limit."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api.app import create_app
from api.jobs import completion_listener
from lengthwise import database
from lengthwise.ledger.job_end import JobEndListener
from lengthwise.settings import Settings
from tests.caller import calling
from tests.integration.conftest import RunWorker, read_job, submit
from tests.ledger import new_tenant, sql
from tests.servers import wait_until

#: Seconds of a wait that something else must end first.
LONG = 30


def in_a_moment(action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(0.3, action)
    timer.start()
    return timer


@pytest.fixture
def open_job(client: TestClient) -> str:
    return str(submit(client, ["one", "two"])["id"])


def test_all_results_exist_when_the_waiting_request_returns(
    client: TestClient, open_job: str, run_worker: RunWorker
) -> None:
    timer = in_a_moment(run_worker)
    answer = client.get(f"/v1/jobs/{open_job}/results", params={"wait": LONG})
    timer.join()
    assert answer.headers["lengthwise-job-state"] == "completed"
    assert len(answer.text.splitlines()) == 2


def test_a_notification_ends_the_wait_without_a_query(
    client: TestClient, open_job: str, run_worker: RunWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion_listener, "_PAUSE_SECONDS", (LONG, LONG))
    began = time.monotonic()
    timer = in_a_moment(run_worker)
    assert client.get(f"/v1/jobs/{open_job}", params={"wait": LONG}).json()["state"] == "completed"
    timer.join()
    assert time.monotonic() - began < LONG


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/cancel", 200), ("DELETE", "", 404)])
def test_a_wait_ends_when_its_job_is_cancelled_or_deleted(
    client: TestClient, open_job: str, monkeypatch: pytest.MonkeyPatch, method: str, path: str, status: int
) -> None:
    monkeypatch.setattr(completion_listener, "_PAUSE_SECONDS", (LONG, LONG))
    began = time.monotonic()
    timer = in_a_moment(lambda: client.request(method, f"/v1/jobs/{open_job}{path}"))
    answer = client.get(f"/v1/jobs/{open_job}", params={"wait": LONG})
    timer.join()
    assert answer.status_code == status
    assert status == 404 or answer.json()["state"] == "cancelled"
    assert time.monotonic() - began < LONG


def test_after_an_error_the_next_waiting_request_starts_another_watch(
    client: TestClient, open_job: str, run_worker: RunWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    with monkeypatch.context() as patch:
        patch.setattr(JobEndListener, "tenants_of_open", break_off)
        assert client.get(f"/v1/jobs/{open_job}", params={"wait": 0.2}).json()["state"] == "queued"
    began = time.monotonic()
    timer = in_a_moment(run_worker)
    assert client.get(f"/v1/jobs/{open_job}", params={"wait": LONG}).json()["state"] == "completed"
    timer.join()
    assert time.monotonic() - began < LONG


def test_a_wait_ends_without_a_notification_too(client: TestClient, open_job: str) -> None:
    """The update sends no notification, as behind a pooler that gives each transaction another session."""
    timer = in_a_moment(lambda: sql("UPDATE jobs SET state = 'cancelled', finished_at = now()"))
    assert client.get(f"/v1/jobs/{open_job}", params={"wait": LONG}).json()["state"] == "cancelled"
    timer.join()


def test_a_job_that_has_ended_is_not_waited_for(client: TestClient, open_job: str, run_worker: RunWorker) -> None:
    run_worker()
    began = time.monotonic()
    assert client.get(f"/v1/jobs/{open_job}", params={"wait": 60}).json()["state"] == "completed"
    assert time.monotonic() - began < LONG


def test_after_the_wait_the_results_so_far_are_answered(client: TestClient, open_job: str) -> None:
    answer = client.get(f"/v1/jobs/{open_job}/results", params={"wait": 0.2})
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["lengthwise-job-state"] == "queued"


def test_many_requests_wait_at_once_each_for_its_own_job(client: TestClient, run_worker: RunWorker) -> None:
    jobs = [str(submit(client, [f"{number}"])["id"]) for number in range(20)]
    open_forever = str(submit(client, ["later"])["id"])
    sql("UPDATE shards SET not_before = now() + interval '1 hour' WHERE job_id = :job", job=open_forever)
    with ThreadPoolExecutor(21) as callers:
        late = callers.submit(client.get, f"/v1/jobs/{open_forever}", params={"wait": 2})
        waiting = [callers.submit(client.get, f"/v1/jobs/{job}", params={"wait": LONG}) for job in jobs]
        in_a_moment(run_worker).join()
        answers = [each.result() for each in waiting]
        assert [answer.json()["state"] for answer in answers] == ["completed"] * 20
        assert late.result().json()["state"] == "queued"


def test_another_tenants_job_and_a_missing_one_are_404_without_a_wait(client: TestClient, open_job: str) -> None:
    sql("UPDATE jobs SET tenant_id = :other", other=new_tenant())
    began = time.monotonic()
    for job in (open_job, str(uuid4()), "nonsense"):
        assert client.get(f"/v1/jobs/{job}", params={"wait": 60}).status_code == 404
    assert time.monotonic() - began < LONG


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "soon"])
def test_an_invalid_wait_is_a_422(client: TestClient, open_job: str, wait: str) -> None:
    answer = client.get(f"/v1/jobs/{open_job}", params={"wait": wait})
    assert (answer.status_code, answer.json()["field"]) == (422, "wait")


def test_no_listening_connection_is_left_when_the_api_has_ended(catalog: Path, installed: Settings) -> None:
    with calling(create_app(installed)) as client:
        job_id = submit(client, ["one"])["id"]
        client.get(f"/v1/jobs/{job_id}", params={"wait": 0.05})
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: sql(others) == [(0,)], patience=5)


def test_a_database_that_is_away_for_a_moment_ends_no_wait(
    client: TestClient, open_job: str, run_worker: RunWorker, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt() -> None:
        with database.engine().begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        run_worker()

    timer = in_a_moment(interrupt)
    assert client.get(f"/v1/jobs/{open_job}", params={"wait": LONG}).json()["state"] == "completed"
    timer.join()
    assert read_job(client, open_job)["state"] == "completed"
