"""Through PgBouncer in transaction mode everything works, and what cannot is refused in one line."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import psycopg
import pytest
from sqlalchemy.engine import make_url
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise import database, migrate, settings
from lengthwise.errors import ConfigurationError
from lengthwise.ledger.job_end import JobEndListener
from lengthwise.ledger.queue import sweep
from lengthwise.states import WorkerRole
from tests import caller
from tests.conftest import forget
from tests.faults.proxy import Mode, Proxy
from tests.integration.conftest import RunWorker, read_job, submit
from tests.integration.outage.test_silent import ANSWER_SECONDS
from tests.pooler import PROGRAM, SESSIONS, PgBouncer, pooled
from tests.servers import wait_until
from worker.presence import Presence
from worker.shutdown import Shutdown

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no pgbouncer on this machine")


@pytest.fixture
def bouncer(installed: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[PgBouncer]:
    """The settings name it in place of Postgres."""
    with pooled(installed.require_database_url()) as bouncer:
        monkeypatch.setenv("LENGTHWISE_DATABASE_URL", bouncer.url)
        forget()
        yield bouncer
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
        for each in (connection, other):
            assert database.cursor(each).execute(limits).fetchone() == ("5min", "3s")
        with database.lock_wait_limited(connection, 1):
            assert database.cursor(connection).execute(limits).fetchone() == ("5min", "1s")
        assert database.cursor(connection).execute(limits).fetchone() == ("5min", "3s")
    with pool.connect() as reading, pool.asking() as asking:
        for each in (reading, asking):
            assert database.cursor(each).execute(limits).fetchone() == ("5min", "3s")
    for one in (pool, direct):
        with one.asking() as asking:
            assert database.cursor(asking).execute("CREATE TABLE asked ()")
        with one.begin() as connection:
            assert database.cursor(connection).execute("DROP TABLE asked"), "what asking did stays done"
    with psycopg.connect(bouncer.url, autocommit=True) as stranger:
        for _ in range(20):  # in turn in each of the sessions
            assert stranger.execute(limits, prepare=False).fetchone() == ("0", "0")
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


def test_a_long_statement_behind_a_pooler_is_not_cut(bouncer: PgBouncer) -> None:
    """Its session has another number than its client knows."""
    pool = database.connect(bouncer.url, 1)
    with pool.begin() as connection:
        assert database.cursor(connection).execute("SELECT 7 FROM pg_sleep(5)").fetchone() == (7,)
    pool.dispose()


def test_workers_report_themselves_and_end_through_a_pooler(
    bouncer: PgBouncer, pooled_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENGTHWISE_PRESENCE_SECONDS", "0.05")
    settings.get.cache_clear()
    present = [Presence(WorkerRole.GENERATE, Shutdown()) for _ in range(3)]

    def listed() -> list[float]:
        return [each["seen_seconds"] for each in pooled_client.get("/v1/workers").json()["data"]]

    for each in present:
        each.begin(lambda: 0.0)
    wait_until(lambda: len(listed()) == 3)
    time.sleep(2)
    assert all(seconds < 2 for seconds in listed())
    for each in present:
        each.end()
    assert listed() == []


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
    later = threading.Timer(0.5, run_worker)
    later.start()
    assert pooled_client.get(f"/v1/jobs/{job}?wait=20").json()["state"] == "completed"
    later.join()


def test_with_a_session_of_its_own_it_hears_by_notification(
    bouncer: PgBouncer, catalog: object, run_worker: RunWorker, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENGTHWISE_DATABASE_SESSION_URL", database_url)
    settings.get.cache_clear()
    monkeypatch.setattr("api.jobs.completion_listener._PAUSE_SECONDS", (30.0, 30.0))
    with caller.calling(create_app()) as client:
        job = submit(client, ["abc"])["id"]
        later = threading.Timer(0.5, run_worker)
        later.start()
        assert client.get(f"/v1/jobs/{job}?wait=20").json()["state"] == "completed"
        later.join()  # it still looks whether there is more


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


def test_files_batches_and_repeated_requests_succeed(pooled_client: TestClient, run_worker: RunWorker) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"model": "echo", "prompt": "abc"}}
    batches = []
    for number in range(12):
        body, headers = {"kind": "generate", "items": ["abc"]}, {"Idempotency-Key": f"key-{number}"}
        first, again = (pooled_client.post("/v1/jobs", json=body, headers=headers) for _ in range(2))
        assert (first.status_code, again.json()["id"]) == (202, first.json()["id"])
        sent = {"file": ("lines.jsonl", json.dumps(line).encode())}
        file = pooled_client.post("/v1/files", data={"purpose": "batch"}, files=sent).json()["id"]
        batch = {"input_file_id": file, "endpoint": "/v1/completions", "completion_window": "24h"}
        batches.append(pooled_client.post("/v1/batches", json=batch).json()["id"])

    def are_completed() -> bool:
        run_worker()
        return {pooled_client.get(f"/v1/batches/{each}").json()["status"] for each in batches} == {"completed"}

    wait_until(are_completed, 60)


def test_a_frozen_process_loses_its_transaction(bouncer: PgBouncer) -> None:
    with database.engine().connect() as frozen, database.engine().connect() as sweeping:
        database.cursor(frozen).execute("SELECT 1")
        time.sleep(0.3)
        assert sweep.end_frozen_sessions(sweeping, seconds=0.2) == 1
        with pytest.raises(psycopg.OperationalError):
            database.cursor(frozen).execute("SELECT 1")
        frozen.invalidate()


def test_a_locked_table_is_a_503_within_seconds(pooled_client: TestClient, database_url: str) -> None:
    job = submit(pooled_client, ["abc"])["id"]
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        for method, path in (("POST", "/v1/jobs"), ("GET", f"/v1/jobs/{job}")):
            began_at = time.monotonic()
            body = {"kind": "generate", "items": ["abc"]} if method == "POST" else None
            assert pooled_client.request(method, path, json=body).status_code == 503
            assert time.monotonic() - began_at < ANSWER_SECONDS
    assert submitted(pooled_client).status_code == 202


def submitted(client: TestClient) -> httpx2.Response:
    return client.post("/v1/jobs", json={"kind": "generate", "items": ["abc"]})


@pytest.fixture
def proxy(installed: settings.Settings) -> Iterator[Proxy]:
    """Between the pooler and Postgres."""
    url = make_url(installed.require_database_url())
    with Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432") as made:
        yield made


def test_a_postgres_that_is_silent_behind_its_pooler_is_away(
    proxy: Proxy, installed: settings.Settings, catalog: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pooler still accepts connections, and lets them wait for two minutes."""
    behind = make_url(installed.require_database_url()).set(host="127.0.0.1", port=proxy.port, query={})
    with pooled(behind.render_as_string(hide_password=False)) as bouncer:
        monkeypatch.setenv("LENGTHWISE_DATABASE_URL", bouncer.url)
        settings.get.cache_clear()
        with caller.calling(create_app(), raise_server_exceptions=False) as client:
            assert submitted(client).status_code == 202
            proxy.switch(Mode.STALL)
            began_at = time.monotonic()
            assert submitted(client).status_code == 503
            assert time.monotonic() - began_at < ANSWER_SECONDS
            proxy.switch(Mode.PASS)
            wait_until(lambda: submitted(client).status_code == 202, 30)


def test_a_pooler_whose_sessions_are_all_taken_is_a_503(pooled_client: TestClient, bouncer: PgBouncer) -> None:
    job = submit(pooled_client, ["abc"])["id"]
    with ExitStack() as others:
        for _ in range(SESSIONS):
            others.enter_context(psycopg.connect(bouncer.url)).execute("SELECT 1", prepare=False)
        began_at = time.monotonic()
        refused = pooled_client.get(f"/v1/jobs/{job}")
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        assert time.monotonic() - began_at < ANSWER_SECONDS
    wait_until(lambda: pooled_client.get(f"/v1/jobs/{job}").status_code == 200, 20)
