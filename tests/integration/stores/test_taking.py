"""A large job has tables of its own."""

import gzip
import re
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader, BytesIO
from pathlib import Path
from threading import Barrier
from typing import IO, Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from api.http.spool import likely_size
from lengthwise import database
from lengthwise.inflate import UnpackedFile
from lengthwise.ledger.jobs import retention
from lengthwise.ledger.jobs.arrangement import NewItem
from lengthwise.ledger.jobs.submit import NewJob, Submission
from lengthwise.sharding import ArrivalOrder
from lengthwise.tables.store import N_STORES, items_name
from tests.integration.conftest import RunWorker, read_job, submit
from tests.integration.stores.stores import TEXTS, begun, delete, held, n_rows, settle_all, store_of
from tests.ledger import (
    DEFAULT,
    POOL,
    knobs,
    outputs,
    sql,
    state,
)
from tests.ledger import submit as write

pytestmark = pytest.mark.usefixtures("large_from_ten")


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


@pytest.mark.parametrize("encoded", [None, "gzip"])
def test_the_size_of_a_body_is_estimated_without_reading_it_again(encoded: str | None) -> None:
    text = b'{"text": "' + bytes(range(97, 123)) * 40 + b'"}\n'
    sent = BytesIO(gzip.compress(text) if encoded else text)
    file: IO[bytes] = BufferedReader(UnpackedFile(sent, encoded, 2**20)) if encoded else sent
    assert file.read(5) == text[:5]
    assert likely_size(file) == (5 * len(sent.getvalue()) if encoded else len(text))
    assert file.read() == text[5:]


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


def shown_by_the_page_on_operating(table: str) -> list[tuple[Any, ...]]:
    """The rows of the page's query of this table."""
    page = (Path(__file__).parents[3] / "docs/operating.md").read_text()
    [statement] = re.findall(rf"```sql\n([^`]+FROM {table}\b[^`]+)```", page)
    return sql(statement.replace("::", r"\:\:"))


def test_the_page_on_operating_shows_what_is_held() -> None:
    large = write(TEXTS)
    [(number, job, n_items, *_, size)] = shown_by_the_page_on_operating("stores")
    assert (number, job, n_items) == (1, large, 20)
    assert size.endswith(" kB")


def test_the_page_on_operating_shows_what_takes_the_space_and_who_blocks() -> None:
    largest = shown_by_the_page_on_operating("pg_class")
    assert len(largest) == 10
    assert {"shards", "jobs"} <= {name for name, *_ in largest}
    assert shown_by_the_page_on_operating("pg_stat_activity") == []
