"""Through PgBouncer in transaction mode everything works, and what cannot is refused in one line."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise import database, migrate, settings
from lengthwise.errors import ConfigurationError
from lengthwise.ledger.job_end import JobEndListener
from tests import caller
from tests.conftest import forget
from tests.integration.conftest import RunWorker, read_job, submit
from tests.pooler import PROGRAM, PgBouncer, pooled

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer on this machine")


@pytest.fixture
def bouncer(installed: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[PgBouncer]:
    """The settings name it in place of Postgres."""
    with pooled(installed.require_database_url()) as bouncer:
        database.shut(database.engine())
        monkeypatch.setenv("LENGTHWISE_DATABASE_URL", bouncer.url)
        forget()
        yield bouncer
        database.shut(database.engine())
        forget()


@pytest.fixture
def pooled_client(bouncer: PgBouncer, catalog: object) -> Iterator[TestClient]:
    with caller.calling(create_app(), raise_server_exceptions=False) as client:
        yield client


def test_a_pooler_is_noticed_and_nothing_is_left_in_its_sessions(bouncer: PgBouncer, database_url: str) -> None:
    pool, direct = database.connect(bouncer.url), database.connect(database_url)
    with pool.begin() as connection, direct.begin() as other:
        assert database.is_pooled(connection)
        assert not database.is_pooled(other)
        limits = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
        assert database.cursor(connection).execute(limits).fetchone() == ("5min", "3s")
        assert database.cursor(other).execute(limits).fetchone() == ("5min", "3s")
    for _ in range(20):
        with pool.begin() as connection:
            connection.rollback()  # with the transaction, its limits end
            cursor = database.cursor(connection)
            assert cursor.execute(limits).fetchone() == ("0", "0")
            cursor.execute("SELECT %s::int", [1])
            assert cursor.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    listener = JobEndListener(pool)
    listener.close()
    with pool.begin() as connection:
        assert database.cursor(connection).execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,)
    pool.dispose()
    direct.dispose()


def test_many_jobs_at_once_are_accepted_and_done(
    pooled_client: TestClient, run_worker: RunWorker, bouncer: PgBouncer
) -> None:
    def post(number: int) -> str:
        items = [f"{number} {letter}" for letter in "abcdefgh" * 10]
        answer = pooled_client.post(
            "/v1/jobs", json={"kind": "generate", "items": items}, headers={"Idempotency-Key": f"key-{number}"}
        )
        assert answer.status_code == 202, answer.text
        name: str = answer.json()["id"]
        return name

    with ThreadPoolExecutor(8) as threads:
        jobs = list(threads.map(post, range(36)))
    assert [post(number) for number in range(36)] == jobs, "the same requests find the same jobs"
    run_worker()
    for number, job in enumerate(jobs):
        assert read_job(pooled_client, job)["counts"] == {
            "total": 80, "succeeded": 80, "failed": 0, "cancelled": 0, "expired": 0, "pending": 0,
        } | {}  # fmt: skip
        lines = [json.loads(line) for line in pooled_client.get(f"/v1/jobs/{job}/results").text.splitlines()]
        assert [line["output"]["text"] for line in lines] == [f"{number} {letter}"[::-1] for letter in "abcdefgh" * 10]


def test_a_request_that_waits_hears_of_the_end(
    pooled_client: TestClient, run_worker: RunWorker, bouncer: PgBouncer
) -> None:
    job = submit(pooled_client, ["abc"])["id"]
    threading.Timer(0.5, run_worker).start()
    assert pooled_client.get(f"/v1/jobs/{job}?wait=20").json()["state"] == "completed"


def test_with_a_session_of_its_own_it_hears_by_notification(
    bouncer: PgBouncer, catalog: object, run_worker: RunWorker, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENGTHWISE_DATABASE_SESSION_URL", database_url)
    settings.get.cache_clear()
    monkeypatch.setattr("api.jobs.completion_listener._PAUSE_SECONDS", (30.0, 30.0))
    with caller.calling(create_app()) as client:
        job = submit(client, ["abc"])["id"]
        threading.Timer(0.5, run_worker).start()
        assert client.get(f"/v1/jobs/{job}?wait=20").json()["state"] == "completed"


def test_when_the_pooler_comes_back_everything_goes_on(
    pooled_client: TestClient, run_worker: RunWorker, bouncer: PgBouncer
) -> None:
    job = submit(pooled_client, ["abc", "def"])["id"]
    bouncer.kill()
    refused = pooled_client.get(f"/v1/jobs/{job}")
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    bouncer.start()
    run_worker()
    assert read_job(pooled_client, job)["counts"]["succeeded"] == 2


def test_migrations_through_a_pooler_are_refused_in_one_line(bouncer: PgBouncer) -> None:
    with pytest.raises(ConfigurationError) as caught:
        migrate.upgrade(bouncer.url)
    assert "LENGTHWISE_DATABASE_SESSION_URL" in str(caught.value)
    assert "\n" not in str(caught.value)
    migrate.require_current(bouncer.url)
