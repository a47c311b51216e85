"""The transaction rings its bells: work that becomes ready rings after the commit, and nothing else rings."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module, reload
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise import bells, database, queue, settings
from lengthwise.bells import Bell
from lengthwise.ledger.jobs import cancel
from lengthwise.ledger.queue.settle import complete_jobs
from lengthwise.ledger.webhooks import event
from lengthwise.states import ResultStatus
from tests import caller, ledger
from tests.integration.conftest import RunWorker
from tests.integration.webhooks.hooks import PATH, register
from tests.ledger import DEFAULT, POOL, knobs, must_take, put, sql
from tests.workers import sweep
from worker.delivery.signing import new_secret

pytestmark = pytest.mark.usefixtures("installed")

HOOK = ("http://receiver.example/hook", new_secret())
URL = "https://8.8.8.8/hook"
DELIVER = Bell("deliver")


class RolledBack(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def rung() -> Iterator[list[Bell]]:
    """The bells that ``database.engine()`` rang."""
    found: list[Bell] = []
    database.ring_with(found.append)
    yield found
    database.ring_with(database.ring_nothing)


def settle_last() -> None:
    put(must_take())


def expire() -> None:
    sql("UPDATE jobs SET deadline_at = now() - interval '1 second'")
    with database.engine().begin() as connection:
        cancel.expire(connection)


def cancel_job() -> None:
    [(job,)] = sql("SELECT id FROM jobs")
    with database.engine().begin() as connection:
        cancel.cancel(connection, job, DEFAULT)


def complete_what_was_missed() -> None:
    [(job,)] = sql("SELECT id FROM jobs")
    sql("UPDATE shards SET state = 'done'")
    with database.engine().begin() as connection:
        complete_jobs(connection, [job])


def cancel_by_the_sweep() -> None:
    [(job,)] = sql("SELECT id FROM jobs")
    sql("UPDATE jobs SET deadline_at = now() - interval '1 second' WHERE id = :job", job=job)
    sweep()


def fail_a_batch() -> None:
    with database.engine().begin() as connection:
        event.announce_failed_batch(connection, uuid4(), DEFAULT, HOOK[0])


ENDINGS: list[Callable[[], None]] = [
    settle_last,
    expire,
    cancel_job,
    complete_what_was_missed,
    cancel_by_the_sweep,
    fail_a_batch,
]


@pytest.mark.parametrize("end", ENDINGS)
def test_ending_a_job_with_a_webhook_rings_for_its_delivery(end: Callable[[], None], rung: list[Bell]) -> None:
    ledger.submit(["x"] * 10, webhook=HOOK)
    rung.clear()
    end()
    assert rung == [DELIVER]


@pytest.mark.parametrize("end", [settle_last, expire, cancel_job, complete_what_was_missed])
def test_ending_a_job_without_receivers_rings_nothing(end: Callable[[], None], rung: list[Bell]) -> None:
    ledger.submit(["x"] * 10)
    rung.clear()
    end()
    assert rung == []


@pytest.mark.parametrize(("n_items", "times"), [(1, 1), (31, 1), (32, 2), (320, 11), (1_000, 32)])
def test_a_submission_wakes_a_worker_for_every_eight_full_shards(n_items: int, times: int, rung: list[Bell]) -> None:
    ledger.submit(["x"] * n_items, shard_items=4)
    assert rung == [Bell("generate", (POOL,), times)]


def test_refused_items_ring_for_no_worker(rung: list[Bell]) -> None:
    ledger.submit(["x"] * 3, refused=range(3))
    assert rung == []


def test_a_followed_job_rings_for_its_pages(client: TestClient, rung: list[Bell]) -> None:
    register(client, URL, "job.results")
    ledger.submit(["x"] * 3, refused=[0])
    assert rung == [Bell("generate", (POOL,), 1), DELIVER]
    rung.clear()
    ledger.submit(["x"] * 20, shard_items=10)
    claimed = must_take(items=10)
    rung.clear()
    put(claimed, status=ResultStatus.SUCCEEDED)
    assert rung == [DELIVER], "the job is still open"


def test_a_rollback_rings_nothing(rung: list[Bell]) -> None:
    job = ledger.submit(["x"] * 3, webhook=HOOK)
    rung.clear()
    with pytest.raises(RolledBack), database.engine().begin() as connection:
        cancel.cancel(connection, job, DEFAULT)
        assert bells.noted(connection) == [DELIVER]
        raise RolledBack
    assert rung == []
    sql("SELECT 1")  # on the same connection of the pool
    assert rung == []


def test_a_commit_that_fails_rings_nothing(rung: list[Bell]) -> None:
    sql("CREATE TABLE checked (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises((IntegrityError, UniqueViolation)), database.engine().begin() as connection:
        connection.execute(text("INSERT INTO checked VALUES (1), (1)"))
        bells.note(connection, bells.DELIVER)
    assert rung == []


def test_a_bell_is_rung_after_the_commit_with_the_connection_back_in_its_pool(database_url: str) -> None:
    seen: list[int] = []

    def ring(_: Bell) -> None:
        with pool.begin() as other:
            seen.append(other.execute(text("SELECT n FROM written")).scalar_one())

    pool = database.connect(database_url, 1, ring=ring)
    with pool.begin() as connection:
        connection.execute(text("CREATE TABLE written AS SELECT 7 AS n"))
        bells.note(connection, bells.DELIVER)
        assert seen == []
    assert seen == [7]
    database.shut(pool)


def test_a_bell_that_is_noted_repeatedly_is_rung_once_with_its_largest_times(rung: list[Bell]) -> None:
    with database.engine().begin() as connection:
        for times in (1, 5, 2):
            bells.note(connection, bells.GENERATE, POOL, times=times)
            bells.note(connection, bells.DELIVER)
    assert rung == [Bell("generate", (POOL,), 5), DELIVER]


def test_a_ring_that_fails_does_not_undo_what_is_committed(caplog: pytest.LogCaptureFixture) -> None:
    def ring(_: Bell) -> None:
        raise ConnectionError("CaNaRy")

    database.ring_with(ring)
    try:
        job = ledger.submit(["x"])
    finally:
        database.ring_with(database.ring_nothing)
    assert ledger.state(job) == "open"
    assert "the generate bell was not rung" in caplog.text
    assert "CaNaRy" not in caplog.text


def test_a_connection_outside_database_begin_accepts_no_bell() -> None:
    def note(connection: Connection) -> None:
        bells.note(connection, bells.DELIVER)

    with database.engine().connect() as connection, pytest.raises(LookupError):
        note(connection)
    with database.engine().begin() as connection:
        note(connection)
    with database.engine().connect() as connection, pytest.raises(LookupError):
        note(connection)  # the connection used before, from the pool


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Bell]:
    """The bells that the API rang."""
    found: list[Bell] = []

    def ring(name: str, arguments: tuple[str, ...] = (), times: int = 1) -> bool:
        found.append(Bell(name, tuple(arguments), times))
        return True

    monkeypatch.setattr(queue, "ring", ring)
    return found


def posted(client: TestClient, path: str, status: int, **json: object) -> dict[str, object]:
    answer = client.post(path, json=json)
    assert answer.status_code == status, answer.text
    found: dict[str, object] = answer.json()
    return found


def new_job(client: TestClient, *items: str, **more: object) -> str:
    return str(posted(client, "/v1/jobs", 202, kind="generate", items=items or ["x"], **more)["id"])


def test_each_request_that_makes_work_ready_rings(client: TestClient, heard: list[Bell], run_worker: RunWorker) -> None:
    def rang() -> list[str]:
        found = [bell.task for bell in heard]
        heard.clear()
        return found

    endpoint = register(client, URL, "job.cancelled")["id"]
    job = new_job(client, "x", "x" * 10_000)
    assert rang() == ["generate"]
    run_worker()
    posted(client, f"/v1/jobs/{job}/cancel", 200)
    assert rang() == [], "it has ended"
    sql("UPDATE results SET status = 'failed'")
    sql("UPDATE shards SET n_failed = hi - lo")
    sql("DELETE FROM items WHERE octet_length(payload) > 1000")
    posted(client, f"/v1/jobs/{job}/retry", 202)
    assert rang() == ["generate"]
    posted(client, f"/v1/jobs/{new_job(client)}/cancel", 200)
    assert rang() == ["generate", "deliver"]
    posted(client, f"{PATH}/{endpoint}/test", 202)
    assert rang() == ["deliver"]
    sql("UPDATE deliveries SET state = 'failed', finished_at = now()")
    [(delivery,)] = sql("SELECT id FROM deliveries WHERE event = 'job.cancelled'")
    posted(client, f"/v1/deliveries/{delivery}/resend", 202)
    assert rang() == ["deliver"]
    sql("UPDATE deliveries SET state = 'failed', finished_at = now()")
    posted(client, f"{PATH}/{endpoint}/replay", 202, since=f"{datetime.now(UTC) - timedelta(hours=1):%FT%TZ}")
    assert rang() == ["deliver"]
    posted(client, f"{PATH}/{endpoint}/replay", 202, since=f"{datetime.now(UTC) + timedelta(hours=1):%FT%TZ}")
    assert rang() == []


def test_a_synchronous_request_that_times_out_rings_for_its_webhook(
    catalog: Path, heard: list[Bell], monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, answer_seconds=0.1)
    with caller.calling(create_app()) as client:
        register(client, URL, "batch.cancelled")
        posted(client, "/v1/completions", 504, model="echo", prompt="x")
    assert [bell.task for bell in heard] == ["generate", "deliver"]
    assert sql("SELECT event, state FROM deliveries") == [("batch.cancelled", "pending")]


def test_a_broker_that_is_away_fails_no_request(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LENGTHWISE_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.get.cache_clear()
    queue.forget()
    register(client, URL, "job.cancelled")
    job = new_job(client)
    posted(client, f"/v1/jobs/{job}/cancel", 200)
    assert [record.name for record in caplog.records if "bell" in record.message] == ["lengthwise.queue"] * 2


def test_a_worker_rings_by_celery(heard: list[Bell]) -> None:
    try:
        reload(import_module("worker.app"))
        ledger.submit(["x"])
    finally:
        database.ring_with(database.ring_nothing)
    assert heard == [Bell("generate", (POOL,))]
