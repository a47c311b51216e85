"""Tallies: the figures of a large job are exact at every moment, and no settlement waits for another."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from uuid import UUID, uuid4

import pytest

from lengthwise import database
from lengthwise.ledger import tally
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.jobs import cancel, retention
from lengthwise.ledger.queue import sweep
from lengthwise.ledger.queue.claim import Claim
from lengthwise.ledger.queue.settle import settle
from lengthwise.states import ResultStatus
from tests.ledger import (
    DEFAULT,
    counts,
    figures,
    let_leases_run_out,
    must_take,
    put,
    settlements,
    sql,
    submit,
    take_all,
)

pytestmark = pytest.mark.usefixtures("installed")

LARGE = tally.MANY_SHARDS + 8
#: What differs between two jobs that are alike otherwise.
_OWN = ("id", "created_at", "finished_at", "recent_seconds", "read_at")


def large(n_shards: int = LARGE) -> UUID:
    """A job of so many shards with one item each, which has tallies."""
    return submit(["x" * 10] * n_shards, shard_items=1)


def let_time_pass(intervals: int) -> None:
    """Makes all that was settled older by so many intervals of five seconds, fewer than twelve."""
    sql("UPDATE tallies SET recent_at = recent_at - :n, recent = trim_array(recent || recent, 12 - :n)", n=intervals)
    sql("UPDATE tallies SET recent = recent[array_length(recent, 1) - 11:]")


def compared(found: JobFigures) -> dict[str, object]:
    return {name: value for name, value in asdict(found).items() if name not in _OWN}


def settle_in_parts() -> list[JobFigures]:
    """The figures of a job after each of several settlements of every kind."""
    job = submit(["x" * 10] * 20 + ["y" * 70] * 20, shard_items=2, refused=[3, 4])
    seen = [figures(job)]
    for n, status in enumerate((ResultStatus.SUCCEEDED, ResultStatus.FAILED, ResultStatus.SUCCEEDED)):
        put(must_take(items=8), status=status, n_warned={"blank": n + 1, "copied": 2} if n else {})
        seen.append(figures(job))
    with database.engine().begin() as connection:
        cancel.cancel(connection, job, DEFAULT)
    return [*seen, figures(job)]


def test_a_job_with_tallies_has_the_same_figures_as_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    without = settle_in_parts()
    assert sql("SELECT count(*) FROM tallies") == [(0,)]
    monkeypatch.setattr(tally, "MANY_SHARDS", 0)
    having = settle_in_parts()
    assert sql("SELECT count(*) FROM tallies") == [(1,)]
    assert list(map(compared, having)) == list(map(compared, without))
    assert (having[-1].n_dropped, having[-1].n_failed, having[-2].n_warned) == (20, 10, {"blank": 11, "copied": 10})


def test_settlements_at_the_same_time_all_count() -> None:
    job = submit(["x" * 10] * 400, shard_items=1)
    claims = [must_take(items=2) for _ in range(200)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, claims))
    found = figures(job)
    assert (found.state, found.n_done, found.n_output, found.n_recent) == ("completed", 400, 400, 400)
    assert sql("SELECT count(*) <= 4, sum(n_done) FROM tallies") == [(True, 400)]


def test_a_settlement_does_not_wait_for_one_whose_transaction_is_still_open() -> None:
    job = large()
    first, second = must_take(items=1), must_take(items=1)
    with database.engine().begin() as stuck:
        settle(stuck, first.token, settlements(first))
        with database.engine().begin() as connection:
            database.limit_lock_wait(connection, 0.5)
            assert settle(connection, second.token, settlements(second)).ids == frozenset(second.shard_ids)
        assert figures(job).n_done == 1, "what is not committed does not count"
    assert (figures(job).n_done, sql("SELECT count(*) FROM tallies")) == (2, [(2,)])


def test_a_settlement_that_is_rolled_back_does_not_count() -> None:
    job = large()
    claimed = must_take(items=3)
    with pytest.raises(RuntimeError), database.engine().begin() as connection:
        settle(connection, claimed.token, settlements(claimed))
        raise RuntimeError
    assert (figures(job).n_done, sql("SELECT count(*) FROM tallies")) == (0, [(0,)])
    assert figures(job).is_begun, "a worker holds it"


def test_one_settlement_of_many_jobs_adds_to_each() -> None:
    jobs = [large(), submit(["x" * 10] * 2, shard_items=1), large()]
    claimed = take_all()
    for each in claimed:
        put(each)
    assert [figures(job).n_done for job in jobs] == [LARGE, 2, LARGE]
    assert sql("SELECT count(DISTINCT job_id) FROM tallies") == [(2,)]


def test_halves_of_a_shard_that_a_dead_worker_left_count_as_the_whole() -> None:
    job = submit(["x" * 10] * 2 * LARGE, shard_items=2)
    must_take(items=2 * LARGE)
    let_leases_run_out()
    with database.engine().begin() as connection:
        sweep.expire_leases(connection, max_deaths=3)
    while sql("SELECT FROM shards WHERE state = 'ready'"):
        put(must_take(items=1))
    assert counts(job)["succeeded"] == 2 * LARGE
    assert sql("SELECT sum(n_done) FROM tallies") == [(2 * LARGE,)]


def test_what_a_worker_of_an_older_release_settled_counts_once() -> None:
    job = large()
    old, new = must_take(items=3), must_take(items=3)
    put(new)
    sql(
        "UPDATE shards SET state = 'done', settled_at = now(), n_failed = 1, lease_until = NULL WHERE token = :token",
        token=old.token,
    )
    found = figures(job)
    assert (found.n_done, found.n_failed, found.n_input, found.n_recent) == (6, 3, 60, 6)
    sql("UPDATE shards SET is_tallied = DEFAULT WHERE state = 'ready'")  # as an older sweep writes halves
    while sql("SELECT FROM shards WHERE state = 'ready'"):
        put(must_take())
    assert figures(job).n_done == LARGE


def test_the_rate_forgets_what_was_settled_more_than_a_minute_ago() -> None:
    job = large()
    sql("UPDATE jobs SET created_at = now() - interval '1 hour'")
    put(must_take(items=5))
    let_time_pass(intervals=8)
    put(must_take(items=4))
    found = figures(job)
    assert (found.n_done, found.n_recent) == (9, 9)
    assert 55 <= found.recent_seconds <= 60
    let_time_pass(intervals=5)
    assert figures(job).n_recent == 4
    put(must_take(items=2))
    assert figures(job).n_recent == 6
    sql("UPDATE tallies SET recent_at = recent_at - 1000")
    put(must_take(items=1))
    assert (figures(job).n_recent, figures(job).n_done) == (1, 12)


def test_a_tally_stays_on_its_page_however_often_it_is_raised() -> None:
    large(300)
    for _ in range(300):
        put(must_take(items=1))
    assert sql("SELECT count(*), pg_relation_size('tallies') FROM tallies") == [(1, 8192)]


def test_the_tallies_of_a_purged_job_are_removed() -> None:
    job = large()
    put(must_take(items=2))
    with database.engine().begin() as connection:
        cancel.delete(connection, job, DEFAULT)
        while retention.purge(connection, items=1000):
            pass
    assert sql("SELECT FROM tallies") == []


def test_a_zombie_adds_nothing() -> None:
    job = large()
    claimed: Claim = must_take(items=3)
    sql("UPDATE shards SET token = :other WHERE token = :token", other=uuid4(), token=claimed.token)
    assert put(claimed).shard_ids == frozenset()
    assert (figures(job).n_done, sql("SELECT count(*) FROM tallies")) == (0, [(0,)])
