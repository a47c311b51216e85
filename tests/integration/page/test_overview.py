"""The overview's figures: what was done, what waits, how it went, and the shape of a job."""

import json
import re
from uuid import UUID

import httpx
import pytest
from starlette.testclient import TestClient

from api.page.session import COOKIE
from lengthwise import database
from lengthwise.ledger.jobs import lately, shape
from lengthwise.ledger.queue import open_work, work_rate
from lengthwise.ledger.queue.work_rate import WorkRate
from lengthwise.settings import Settings
from lengthwise.sharding import bucket_of
from lengthwise.states import Priority
from tests import ledger
from tests.caller import KEY
from tests.integration.conftest import RunWorker, submit
from tests.integration.page.viewer import OWN, Shown, operator, with_scopes
from tests.integration.queue.test_query_plans import explain, filled_with, indexes, rows_read
from tests.integration.wire import over_http
from tests.integration.workers.reported import deliverer, report
from tests.ledger import DEFAULT, sql
from tests.servers import Urls


def add_rate() -> None:
    with database.engine().begin() as connection:
        work_rate.add(connection)


def rates() -> list[WorkRate]:
    with database.engine().begin() as connection:
        return work_rate.read(connection, seconds=3600)


def let_ten_seconds_pass() -> None:
    sql("UPDATE rates_of_work SET slot = slot - 1, at = at - interval '10 seconds'")


def test_an_interval_is_what_the_workers_did_since_the_last_one(installed: Settings) -> None:
    first = report(n_items=100, n_tokens=1000)
    add_rate()
    assert rates() == [], "nothing is known of the time before"
    let_ten_seconds_pass()
    report(id=first, n_items=130, n_tokens=1600)
    report(n_items=7, n_tokens=70, started_seconds=3.0)  # it started within the interval
    report(n_items=50, n_tokens=500, started_seconds=600.0)  # its row was lost, and came back
    deliverer(n_items=1000, n_tokens=1000)
    add_rate()
    [rate] = rates()
    assert (rate.n_items, rate.n_tokens) == (37, 670)
    assert rate.seconds == pytest.approx(10, abs=2)


def test_two_sweeps_add_one_interval(installed: Settings) -> None:
    worker = report(n_items=0)
    add_rate()
    let_ten_seconds_pass()
    report(id=worker, n_items=5)
    add_rate()
    report(id=worker, n_items=9)
    add_rate()
    n_rows = len(sql("SELECT slot FROM rates_of_work"))
    assert n_rows in (2, 3)  # three if ten seconds ended just now
    assert sum(rate.n_items for rate in rates()) == (5 if n_rows == 2 else 9)


def test_a_worker_that_ends_or_starts_anew_takes_nothing_back(installed: Settings) -> None:
    worker = report(n_items=100, n_tokens=1000)
    add_rate()
    let_ten_seconds_pass()
    report(id=worker, n_items=3, n_tokens=30)
    sql("DELETE FROM workers WHERE id <> :id", id=worker)
    add_rate()
    [rate] = rates()
    assert (rate.n_items, rate.n_tokens) == (0, 0)


def test_intervals_are_kept_for_a_day(installed: Settings) -> None:
    report()
    add_rate()
    sql("UPDATE rates_of_work SET slot = slot - 8641")
    add_rate()
    assert len(sql("SELECT slot FROM rates_of_work")) == 1
    assert sql("SELECT count(*) FROM rates_of_work WHERE counters IS NOT NULL") == [(1,)]


def work(tenant: UUID | None, most: int = 2_000) -> list[tuple[int, str, int, int, int, bool]]:
    with database.engine().begin() as connection:
        found = open_work.by_priority(connection, tenant, most=most)
    return [(each.priority, each.model, each.n_jobs, each.n_items, each.n_tokens, each.is_capped) for each in found]


def test_open_work_is_summed_by_priority_and_model(installed: Settings) -> None:
    other = ledger.new_tenant()
    ledger.submit(["abc", "de"], pool="one:1")
    ledger.submit(["abc"], pool="two:1", priority=Priority.INTERACTIVE)
    ledger.submit(["a"], pool="one:1", tenant=other)
    assert work(None) == [(0, "two", 1, 1, 3, False), (1, "one", 2, 3, 6, False)]
    assert work(DEFAULT) == [(0, "two", 1, 1, 3, False), (1, "one", 1, 2, 5, False)]
    assert work(other) == [(1, "one", 1, 1, 1, False)]
    assert work(None, most=1) == [(0, "two", 1, 1, 3, True), (1, "one", 1, 2, 5, True)]
    for claimed in ledger.take_all("one:1"):
        ledger.put(claimed)
    assert work(None) == [(0, "two", 1, 1, 3, False)]


def test_a_large_jobs_work_shrinks_while_it_runs(installed: Settings) -> None:
    ledger.submit(["a"] * 100, shard_items=1)
    ledger.put(ledger.must_take(items=60, tokens=60))
    [(_, _, n_jobs, n_items, n_tokens, _)] = work(None)
    assert n_jobs == 1
    assert 0 < n_items < 100 and n_tokens == n_items


def test_ended_work_counts_failures_and_padding(client: TestClient, run_worker: RunWorker) -> None:
    submit(client, ["abc", "de", "x" * 600, "y" * 100])
    run_worker()
    with database.engine().begin() as connection:
        for tenant in (None, DEFAULT):
            found = lately.sum_ended(connection, tenant)
            assert (found.n_jobs, found.n_items, found.n_failed) == (1, 4, 1)
            assert found.failed_share == 0.25
        nothing = lately.sum_ended(connection, UUID(int=77))
        assert (nothing.n_jobs, nothing.failed_share, nothing.padding_share) == (0, 0.0, 0.0)


def test_the_shape_of_a_job_has_every_item_once(client: TestClient, run_worker: RunWorker) -> None:
    lengths = [1, 5, 9, 20, 20, 100, 300]
    job = UUID(submit(client, ["x" * n for n in lengths])["id"])
    with database.engine().begin() as connection:
        before = shape.read(connection, job, DEFAULT)
    assert (sum(band.n_items for band in before.lengths), before.settled) == (len(lengths), [])
    run_worker()
    with database.engine().begin() as connection:
        after = shape.read(connection, job, DEFAULT)
    assert {band.bucket for band in after.lengths} == set(map(bucket_of, lengths))
    assert sum(each.n_items for each in after.settled) == len(lengths)
    assert all(0 <= each.place < after.n_intervals for each in after.settled)
    assert not after.is_part


def test_the_overview_shows_what_the_workers_say(client: TestClient) -> None:
    report(name="generate-7", model="echo", batch_rows=12, state="working", items_per_second=3.5)
    silent = report(name="generate-8")
    sql("UPDATE workers SET seen_at = now() - interval '1 minute' WHERE id = :id", id=silent)
    submit(client, ["abc"])
    text = Shown(operator(client).get("/page").text).text
    assert re.search(r"generate-7 working .* echo, 12 rows, 3\.5 items/s", text), text
    assert re.search(r"generate-8 lost .* not seen for 1 min", text), text
    assert re.search(r"normal echo 1 1 3 \d s ago", text), text


def test_a_tenant_sees_its_own_work(client: TestClient) -> None:
    ledger.submit(["abc"], pool="theirs:1", tenant=ledger.new_tenant())
    assert "theirs" not in Shown(with_scopes(client, "read").get("/page").text).text
    assert "theirs" in Shown(operator(client).get("/page").text).text


MANY_JOBS = """
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded,
                  chunk_items, is_tallied, created_at, finished_at)
SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'generate', 'm' || n % 4, '{}', n % 3,
       CASE WHEN n % 2 = 0 THEN 'open' ELSE 'completed' END, 1, 1, 1, 10000, n % 10 = 0,
       now() - n * interval '1 second',
       CASE WHEN n % 2 = 1 THEN now() - n * interval '1 second' END
FROM generate_series(1, 200000) n;
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state)
SELECT id, 'm:1', 1, 0, 1, 1, priority, 1, CASE state WHEN 'open' THEN 'ready' ELSE 'done' END
FROM jobs WHERE NOT is_tallied;
INSERT INTO tallies SELECT id, slot, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, '{}'
FROM jobs CROSS JOIN generate_series(1, 2) slot WHERE is_tallied;
ANALYZE;
"""


def test_the_overview_reads_a_bounded_number_of_rows(servers: Urls) -> None:
    with filled_with(servers, MANY_JOBS):
        given = {"most": 500, "pairs": 50, "tenant": DEFAULT, "limit": 100}
        everything = explain(open_work._OF_ALL, **given)
        assert "jobs_open_work_idx" in indexes(everything)
        assert "tallies_pkey" in indexes(everything)
        assert rows_read(everything) < 12 * 500 * 2  # with the tallies of every fifth
        assert rows_read(explain(open_work._OF_TENANT, **given)) < 2_000
        ended = explain(lately._OF_ALL, **given)
        assert "jobs_finished_idx" in indexes(ended)
        assert rows_read(ended) < 2_000
        assert rows_read(explain(lately._OF_TENANT, **given)) < 2_000


def test_live_figures_arrive_over_a_real_connection(client: TestClient) -> None:
    job = submit(client, ["abc"])["id"]
    with over_http(client.app) as url:
        own = OWN | {"origin": url}
        with httpx.Client(base_url=url, timeout=20) as browser:
            signed_in = browser.post("/page/sign-in", data={"key": KEY}, headers=own)
            assert signed_in.status_code == 303
            cookie = {"cookie": f"{COOKIE}={signed_in.cookies[COOKIE]}"}
            rooms = ("/page/events/overview", "/page/events/workers", "/page/events/models")
            for path in (*rooms, f"/page/events/jobs/{job}"):
                with browser.stream("GET", path, headers=cookie) as events:
                    assert events.headers["content-type"].startswith("text/event-stream")
                    assert events.headers["x-accel-buffering"] == "no"
                    lines = events.iter_lines()
                    assert next(lines) == "event: figures"
                    assert json.loads(next(lines).removeprefix("data: "))["html"]
