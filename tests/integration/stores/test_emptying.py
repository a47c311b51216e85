"""The tables of a deleted job are emptied at once, and nobody waits for that."""

import time
from uuid import UUID

import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy import text

from lengthwise import database
from lengthwise.ledger import store
from lengthwise.ledger.jobs import results, retention
from tests.integration.stores.stores import TEXTS, delete, empty, held, n_rows, settle_all, store_of
from tests.ledger import (
    knobs,
    outputs,
    sql,
)
from tests.ledger import submit as write
from tests.workers import sweep

pytestmark = pytest.mark.usefixtures("large_from_ten")


@pytest.mark.parametrize("is_purged_first", [False, True], ids=["store first", "rows first"])
def test_a_deleted_job_leaves_nothing_and_frees_its_store(is_purged_first: bool) -> None:
    job, other = write(TEXTS), write(TEXTS)
    settle_all()
    delete(job)

    def purge() -> None:
        with database.engine().begin() as connection:
            while retention.purge(connection, items=7):
                pass

    if is_purged_first:
        purge()
    assert held() == {1: job, 2: other}, "hidden, and still to be emptied"
    assert empty() == [1]
    purge()
    assert (n_rows(1), n_rows(2)) == ((0, 0), (20, 20))
    assert sql("SELECT id FROM jobs") == [(other,)]
    assert not sql("SELECT FROM shards WHERE job_id = :job", job=job)
    assert len(outputs(other)) == 20
    assert (store_of(write(TEXTS)), empty()) == (1, [])


def test_the_sweep_empties_stores_of_deleted_and_of_expired_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    knobs(monkeypatch, retention_seconds=60)
    deleted, expired, kept = (write(TEXTS) for _ in range(3))
    settle_all()
    delete(deleted)
    sql("UPDATE jobs SET finished_at = now() - interval '61 s' WHERE id = :job", job=expired)
    sweep()
    assert held() == {3: kept}
    assert [n_rows(number) for number in (1, 2, 3)] == [(0, 0), (0, 0), (20, 20)]


def test_a_job_that_is_not_deleted_is_never_emptied() -> None:
    job = write(TEXTS)
    with database.engine().begin() as connection:
        assert not store.find_left(connection)
        assert not store.empty(connection, 1)
        assert not store.empty(connection, 2), "free"
    assert n_rows(1) == (20, 0)
    delete(job)
    with database.engine().begin() as connection:
        assert store.find_left(connection) == [1]
        with database.engine().begin() as faster:
            assert store.empty(faster, 1)
        again = write(TEXTS)  # takes the store between the question and the act
        assert not store.empty(connection, 1)
    assert (held(), n_rows(1)) == ({1: again}, (20, 0))


def reads(connection: object, job: UUID) -> None:
    page = results.read_page(connection, job, store=1, after=-1, limit=9, chunk_items=10_000, n_items=20)  # type: ignore[arg-type]
    assert len(page.rows) == 9


def keeps_the_job(connection: object, job: UUID) -> None:
    connection.execute(text("SELECT FROM jobs WHERE id = :job FOR KEY SHARE"), {"job": job})  # type: ignore[attr-defined]


def dumps_the_database(connection: object, _job: UUID) -> None:
    connection.execute(text("LOCK TABLE items_1, results_1, items, results IN ACCESS SHARE MODE"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("use", [reads, keeps_the_job, dumps_the_database])
def test_a_store_in_use_is_left_for_the_next_sweep_and_nobody_waits(use: object) -> None:
    job = write(TEXTS)
    settle_all()
    with database.engine().begin() as connection:
        use(connection, job)  # type: ignore[operator]
        delete(job)
        began = time.monotonic()
        with pytest.raises(LockNotAvailable):
            empty()
        sweep()
        assert time.monotonic() - began < 10
        assert held() == {1: job}
        assert n_rows(1) == (20, 20)
        other = write(TEXTS)
        settle_all()
        assert (store_of(other), len(outputs(other))) == (2, 20)
    sweep()
    assert (held(), n_rows(1)) == ({2: other}, (0, 0))


def test_while_a_store_is_emptied_other_jobs_are_submitted_run_and_read() -> None:
    job, running = write(TEXTS), write(TEXTS)
    delete(job)
    with database.engine().begin() as emptying:
        assert store.empty(emptying, 1)
        small, large = write(["x"]), write(TEXTS)
        settle_all()
        assert [len(outputs(each)) for each in (small, large, running)] == [1, 20, 20]
        assert (store_of(small), store_of(large)) == (0, 3), "it is not free before it is empty"
    assert store_of(write(TEXTS)) == 1
