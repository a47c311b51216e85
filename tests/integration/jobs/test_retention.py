"""Deleted jobs are hidden at once, and any number of sweeps remove their rows in small portions."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger.jobs import results, retention
from tests.integration.conftest import RunWorker, read_job, submit
from tests.ledger import figures, knobs, must_take, put, sql, take_all
from tests.ledger import submit as write
from tests.workers import sweep
from worker.delivery.signing import new_secret
from worker.shutdown import Shutdown
from worker.upkeep import sweep as sweeps

HOOK = ("http://receiver.example/hook", new_secret())
OF_A_JOB = ("shards", "items", "results", "deliveries")


def n_rows(job: UUID | None = None) -> int:
    where = "TRUE" if job is None else "job_id = :job"
    counted = " + ".join(f"(SELECT count(*) FROM {table} WHERE {where})" for table in OF_A_JOB)  # noqa: S608 — our own names
    found: int = sql(f"SELECT {counted}", **({} if job is None else {"job": job}))[0][0]
    return found


def purge(items: int) -> int:
    with database.engine().begin() as connection:
        return retention.purge(connection, items=items)


def expire(seconds: int) -> int:
    with database.engine().begin() as connection:
        return retention.expire(connection, retention_seconds=seconds)


def ended(n_items: int = 3, **more: Any) -> UUID:
    job = write(["x" * (index % 9 + 1) for index in range(n_items)], **more)
    for claimed in take_all():
        put(claimed)
    return job


def age(job: UUID, seconds: int) -> None:
    sql("UPDATE jobs SET finished_at = now() - make_interval(secs => :age) WHERE id = :job", age=seconds, job=job)


def test_an_ended_job_says_when_it_will_be_deleted(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc"])
    assert job["expires_at"] is None
    run_worker()
    shown = read_job(client, job["id"])
    kept = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["finished_at"])
    assert kept == timedelta(days=30)


def test_a_job_past_its_retention_is_deleted_with_all_its_rows(
    client: TestClient, run_worker: RunWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, retention_seconds=60)
    key = {"Idempotency-Key": "a"}
    body = {"kind": "generate", "items": ["abc"], "webhook": {"url": "https://8.8.8.8/"}}
    old = client.post("/v1/jobs", json=body, headers=key).json()
    young = submit(client, ["abc"])
    run_worker()
    waiting = submit(client, ["abc"])
    age(UUID(old["id"]), 61)
    age(UUID(young["id"]), 59)
    sql("UPDATE jobs SET created_at = now() - interval '1 year' WHERE id = :job", job=UUID(waiting["id"]))
    sweep()
    for name, path in old["links"].items():
        asked = client.post(path) if name in ("cancel", "retry") else client.get(path)
        assert asked.status_code == 404
    assert n_rows(UUID(old["id"])) == 0
    assert {job["id"] for job in client.get("/v1/jobs").json()["data"]} == {young["id"], waiting["id"]}
    assert len(client.get(young["links"]["results"]).text.splitlines()) == 1
    assert client.post("/v1/jobs", json=body, headers=key).json()["id"] != old["id"], "its key is free"


@pytest.mark.usefixtures("installed")
def test_an_open_job_is_never_deleted() -> None:
    job = write(["abc"])
    must_take()
    assert expire(1) == 0
    assert figures(job).n_items == 1


@pytest.mark.usefixtures("installed")
def test_each_transaction_removes_one_portion_and_the_next_continues_there() -> None:
    job, other = ended(95, shard_items=10, webhook=HOOK), ended(20)
    age(job, 100)
    assert expire(50) == 1
    removed = []
    while portion := purge(10):
        removed.append(portion)
        assert (
            n_rows(job)
            == sql("SELECT coalesce(sum(n_items), 0) * 2 FROM jobs WHERE id = :job", job=job)[0][0]
            + sql("SELECT count(*) FROM shards WHERE job_id = :job", job=job)[0][0]
            + sql("SELECT count(*) FROM deliveries WHERE job_id = :job", job=job)[0][0]
        )
    assert len(removed) == 10
    assert max(removed) <= 10 + 10 + 10 + 2
    assert n_rows(job) == 0
    assert sql("SELECT count(*) FROM jobs WHERE id = :job", job=job) == [(0,)]
    assert n_rows(other) == 20 + 20 + len(sql("SELECT FROM shards WHERE job_id = :job", job=other))


@pytest.mark.usefixtures("installed")
def test_many_small_jobs_are_removed_in_one_transaction() -> None:
    jobs = [ended(2) for _ in range(12)]
    for job in jobs:
        age(job, 100)
    assert expire(50) == 12
    assert purge(20) > 0
    assert sql("SELECT count(*) FROM jobs") == [(2,)]
    assert purge(20) > 0
    assert (sql("SELECT count(*) FROM jobs"), n_rows(), purge(20)) == ([(0,)], 0, 0)


@pytest.mark.usefixtures("installed")
def test_a_sweep_skips_a_job_that_another_one_holds() -> None:
    first, second = ended(10), ended(10)
    for job in (first, second):
        age(job, 100)
    sql("UPDATE jobs SET deleted_at = now() - interval '1 hour' WHERE id = :job", job=first)
    expire(50)
    with database.engine().begin() as holding:
        holding.exec_driver_sql("SELECT FROM jobs ORDER BY deleted_at LIMIT 1 FOR UPDATE")
        while purge(4):
            pass
        assert (n_rows(first) > 0, n_rows(second)) == (True, 0)
        age_of_nothing = expire(50)
    assert age_of_nothing == 0
    while purge(4):
        pass
    assert n_rows() == 0


@pytest.mark.usefixtures("installed")
def test_concurrent_sweeps_remove_everything_once() -> None:
    jobs = [ended(30, shard_items=4) for _ in range(6)]
    for job in jobs:
        age(job, 100)
    at_once = Barrier(4)

    def forget(_: int) -> int:
        at_once.wait()
        expire(50)
        n_removed = 0
        while removed := purge(7):
            n_removed += removed
        return n_removed

    expected = n_rows() + len(jobs)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(forget, range(4))) <= expected
    while purge(7):
        pass
    assert n_rows() == 0
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.usefixtures("installed")
def test_a_sweep_stops_when_its_time_is_up_and_the_next_one_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    job = ended(50)
    age(job, 40 * 86_400)
    monkeypatch.setattr(sweeps, "_PURGE_SHARE", 0.0)
    monkeypatch.setattr(sweeps, "_PURGE_ITEMS", 20)
    sweep()
    with pytest.raises(NotFound):
        figures(job)
    assert n_rows(job) > 0
    monkeypatch.setattr(sweeps, "_PURGE_SHARE", 10.0)
    sweep()
    assert n_rows(job) == 0


@pytest.mark.usefixtures("installed")
def test_a_download_of_a_deleted_job_breaks_off_and_leaves_no_gaps() -> None:
    job = ended(30, chunk_items=10)
    with database.engine().begin() as connection:
        page = results.read_page(connection, job, store=0, after=-1, limit=100, chunk_items=10, n_items=30)
    assert len(page.rows) == 10
    age(job, 100)
    expire(50)
    assert page.next_after is not None
    with database.engine().begin() as connection, pytest.raises(NotFound):
        results.read_page(connection, job, store=0, after=page.next_after, limit=100, chunk_items=10, n_items=30)


@pytest.mark.usefixtures("installed")
def test_sweeps_look_for_old_jobs_now_and_then_and_each_time_while_there_are_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def n_shown() -> int:
        return int(sql("SELECT count(*) FROM jobs WHERE deleted_at IS NULL")[0][0])

    knobs(monkeypatch, retention_seconds=60)
    monkeypatch.setattr(retention, "_JOBS", 2)
    jobs, sweeper = [ended(1) for _ in range(5)], sweeps.Sweeper(Shutdown())
    sweeper.sweep()
    for job in jobs:
        age(job, 61)
    sweeper.sweep()
    assert n_shown() == 5, "it looked just now"
    sweeper._expired_at -= sweeps._EXPIRE_SECONDS
    for n_left in (3, 1, 0):
        sweeper.sweep()
        assert n_shown() == n_left
