"""A large job has tables of its own, which are emptied at once when it is deleted, and then serve another job."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger import store
from lengthwise.ledger.jobs import cancel, results, retention
from lengthwise.ledger.jobs.submit import NewItem, NewJob, Submission
from lengthwise.ledger.queue import sweep as sweeps
from lengthwise.ledger.webhooks import push
from lengthwise.settings import Settings
from lengthwise.sharding import ArrivalOrder
from lengthwise.tables.store import N_STORES, items_name, results_name
from tests.integration.conftest import RunWorker, read_job, submit
from tests.ledger import (
    DEFAULT,
    POOL,
    figures,
    knobs,
    let_leases_run_out,
    must_take,
    outputs,
    put,
    rows,
    sql,
    state,
    take_all,
)
from tests.ledger import submit as write
from tests.workers import sweep

TEXTS = ["x" * (index % 9 + 1) for index in range(20)]


@pytest.fixture(autouse=True)
def large_from_ten(monkeypatch: pytest.MonkeyPatch, installed: Settings) -> None:
    """A job of ten items is large."""
    knobs(monkeypatch, large_job_items=10)


def store_of(job: UUID) -> int:
    return figures(job).store


def held() -> dict[int, UUID]:
    return dict(sql("SELECT id, job_id FROM stores WHERE job_id IS NOT NULL"))


def n_rows(number: int) -> tuple[int, int]:
    counted = [sql(f"SELECT count(*) FROM {name(number)}")[0][0] for name in (items_name, results_name)]  # noqa: S608
    return counted[0], counted[1]


def delete(job: UUID) -> None:
    with database.engine().begin() as connection:
        cancel.delete(connection, job, DEFAULT)


def empty() -> list[int]:
    """Empties the stores of deleted jobs. Returns which."""
    with database.engine().begin() as connection:
        return [number for number in store.find_left(connection) if store.empty(connection, number)]


def begun(connection: object, n_items: int = 20) -> Submission:
    """A submission whose first items are written, and which is not finished."""
    job = NewJob(uuid4(), DEFAULT, "generate", "echo", {}, POOL, sent_items=n_items)
    submission = Submission(connection, job, ArrivalOrder(4096, 64), chunk_items=5, large_items=10)  # type: ignore[arg-type]
    submission.add([NewItem(1, b'{"text":"x"}') for _ in range(5)])
    return submission


def settle_all() -> None:
    for claimed in take_all():
        put(claimed)


def test_only_a_large_job_takes_a_store_and_all_its_rows_are_there() -> None:
    small, large = write(["x"] * 9), write(TEXTS, refused=[3])
    assert (store_of(small), store_of(large)) == (0, 1)
    assert held() == {1: large}
    assert sql("SELECT DISTINCT store FROM shards WHERE job_id = :job", job=large) == [(1,)]
    settle_all()
    assert (n_rows(0), n_rows(1)) == ((9, 9), (20, 20))
    assert outputs(large).keys() == set(range(20))
    assert [state(job) for job in (small, large)] == ["completed", "completed"]


@pytest.mark.parametrize(
    ("sent_items", "sent_bytes", "is_large"),
    [(0, 0, False), (9, 0, False), (10, 0, True), (0, 12 * 9, False), (0, 12 * 10, True)],
)
def test_whether_a_job_is_large_is_estimated_from_its_first_chunk(
    sent_items: int, sent_bytes: int, is_large: bool
) -> None:
    job = NewJob(uuid4(), DEFAULT, "generate", "echo", {}, POOL, sent_items=sent_items, sent_bytes=sent_bytes)
    with database.engine().begin() as connection:
        submission = Submission(connection, job, ArrivalOrder(4096, 64), chunk_items=5, large_items=10)
        submission.add([NewItem(1, b'{"text":"x"}') for _ in range(5)])  # of 12 bytes each
        submission.finish()
    assert (store_of(job.id) > 0) is is_large


def test_what_is_long_counts_as_the_rows_into_which_it_is_cut() -> None:
    job = NewJob(uuid4(), DEFAULT, "generate", "echo", {}, POOL, sent_bytes=20_000)
    with database.engine().begin() as connection:
        submission = Submission(connection, job, ArrivalOrder(4096, 64), chunk_items=2, large_items=10)
        submission.add([NewItem(1, b'{"text":"%s"}' % (b"x" * 10_000)) for _ in range(2)])
        submission.finish()
    assert store_of(job.id) == 1


def test_a_body_of_many_bytes_takes_a_store(
    run_worker: RunWorker, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    knobs(monkeypatch, large_job_items=300, chunk_items=64)
    client: TestClient = request.getfixturevalue("client")
    jobs = [submit(client, ["abc"] * n_items) for n_items in (100, 1000)]
    run_worker()
    assert [store_of(UUID(job["id"])) for job in jobs] == [0, 1]
    for job, n_items in zip(jobs, (100, 1000), strict=True):
        assert read_job(client, job["id"])["counts"]["succeeded"] == n_items
        assert client.get(job["links"]["results"]).text.count("\n") == n_items


def test_submissions_at_the_same_time_never_share_a_store() -> None:
    at_once = Barrier(8)

    def one(_: int) -> int:
        at_once.wait()
        return store_of(write(TEXTS))

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(one, range(8)))
    assert sorted(taken) == list(range(1, 9))


def test_a_submission_does_not_wait_for_one_that_is_under_way() -> None:
    with database.engine().begin() as connection:
        first = begun(connection)
        second = write(TEXTS)
        assert (first.store, store_of(second)) == (1, 2)
        first.finish()
    assert set(held()) == {1, 2}


def test_a_submission_that_is_rolled_back_gives_its_store_back() -> None:
    with pytest.raises(ZeroDivisionError), database.engine().begin() as connection:
        assert begun(connection).store == 1
        raise ZeroDivisionError
    assert (held(), n_rows(1)) == ({}, (0, 0))
    assert store_of(write(TEXTS)) == 1


def test_without_a_free_store_a_job_shares_tables_and_is_deleted_by_rows() -> None:
    sql("UPDATE stores SET job_id = gen_random_uuid()")
    job = write(TEXTS)
    assert store_of(job) == 0
    settle_all()
    assert len(outputs(job)) == 20
    delete(job)
    with database.engine().begin() as connection:
        while retention.purge(connection, items=7):
            pass
    assert n_rows(0) == (0, 0)


def test_there_are_as_many_stores_as_tables() -> None:
    assert [number for (number,) in sql("SELECT id FROM stores ORDER BY id")] == list(range(1, N_STORES + 1))
    for wrong in (-1, N_STORES + 1):
        with pytest.raises(ValueError, match="no such store"):
            items_name(wrong)


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


def test_a_late_settlement_writes_nothing_into_a_store_that_another_job_has() -> None:
    job, other = write(TEXTS), write(["x"] * 3)
    claimed = must_take()
    assert {shard.job_id for shard in claimed.shards.values()} == {job, other}
    delete(job)
    assert empty() == [1]
    after = write(TEXTS)
    assert store_of(after) == 1
    lost = {shard.id for shard in claimed.shards.values() if shard.job_id == job}
    assert put(claimed).shard_ids == claimed.shards.keys() - lost, "the other job's shards are settled"
    assert (n_rows(1), state(other)) == ((20, 0), "completed")
    settle_all()
    assert outputs(after).keys() == set(range(20))


def test_a_settlement_under_way_is_waited_for_by_the_deletion() -> None:
    job = write(TEXTS)
    claimed = must_take()
    with ThreadPoolExecutor(1) as pool:
        with database.engine().begin() as connection:
            connection.execute(text("SELECT FROM shards FOR UPDATE"))
            deleting = pool.submit(delete, job)
            time.sleep(0.3)
            assert not deleting.done()
            assert empty() == []
        deleting.result(10)
    assert not put(claimed).shard_ids
    assert (empty(), n_rows(1)) == ([1], (0, 0))


def test_a_late_claim_finds_nothing_of_a_deleted_job() -> None:
    job = write(TEXTS)
    delete(job)
    assert empty() == [1]
    after = write(TEXTS)
    claimed = must_take()
    assert {shard.job_id for shard in claimed.shards.values()} == {after}
    put(claimed)
    settle_all()
    assert len(outputs(after)) == 20


def test_a_late_reader_never_sees_the_rows_of_another_job() -> None:
    job = write(TEXTS)
    settle_all()
    first = rows(job, limit=5)
    delete(job)
    assert empty() == [1]
    after = write(TEXTS)
    settle_all()
    assert (len(first), len(rows(after))) == (20, 20)
    for has_dropped in (False, True):
        with database.engine().begin() as connection, pytest.raises(NotFound):
            results.read_page(
                connection, job, store=1, after=4, limit=5, chunk_items=10_000, n_items=20, has_dropped=has_dropped
            )


def test_a_late_push_sends_nothing_of_another_job(client: TestClient, run_worker: RunWorker) -> None:
    endpoint = {"url": "https://8.8.8.8/hook", "events": ["job.results"]}
    assert client.post("/v1/webhook-endpoints", json=endpoint).status_code == 201
    job = write(TEXTS)
    settle_all()
    sql("UPDATE jobs SET deleted_at = now() WHERE id = :job", job=job)  # expired, with a page still to be written
    assert empty() == [1]
    after = write(TEXTS)
    assert store_of(after) == 1
    with database.engine().begin() as connection:
        assert push.write_pages(connection, shards=100)
    assert sql("SELECT FROM deliveries") == []
    settle_all()
    with database.engine().begin() as connection:
        assert push.write_pages(connection, shards=100)
    assert set(sql("SELECT job_id FROM deliveries WHERE event = 'job.results'")) == {(after,)}


def test_leases_that_expire_at_the_same_time_are_halved_in_every_store() -> None:
    jobs = [write(["x" * 9] * n_items) for n_items in (8, 16, 12)]
    assert [store_of(job) for job in jobs] == [0, 1, 2]
    claimed = must_take()
    let_leases_run_out()
    with database.engine().begin() as connection:
        assert sweeps.expire_leases(connection, max_deaths=3) == 3
    halves = sql("SELECT store, hi - lo, n_tokens, deaths FROM shards ORDER BY store, lo")
    assert halves == [(n, size, 9 * size, 1) for n, size in ((0, 4), (0, 4), (1, 8), (1, 8), (2, 6), (2, 6))]
    assert not put(claimed).shard_ids, "the lease is lost"
    settle_all()
    assert [len(outputs(job)) for job in jobs] == [8, 16, 12]


def test_settlements_and_heartbeats_of_several_stores_do_not_block_each_other() -> None:
    for n_items in (20, 1, 20, 1, 20):
        write(["x" * 9] * n_items, shard_items=1)
    claims = [must_take(items=16) for _ in range(3)]
    assert all(len({shard.store for shard in claimed.shards.values()}) > 1 for claimed in claims[1:])

    def settle(claimed: object) -> int:
        return len(put(claimed).shard_ids)  # type: ignore[arg-type]

    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(settle, claims + claims))
    assert sum(written) == sum(len(claimed.shards) for claimed in claims), "each is settled once"
