"""Query plans: with a million items each query still reads only what it needs, by index."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.sql import SQL, Literal
from sqlalchemy import text

from lengthwise import database, settings
from lengthwise.ledger import gauges, job_figures, scaling
from lengthwise.ledger.accounts import usage
from lengthwise.ledger.jobs import cancel, idempotency, results, retention, retry, source
from lengthwise.ledger.queue import ahead, claim, fair_queue, lease, pending, settle, speed, sweep, urgency
from tests import servers as real
from tests.conftest import forget

#: The first of 20 jobs of 15,000 shards; every 100th shard is leased by HOLDER, nine in ten are done.
JOB, N_JOBS = UUID(int=1), 20
#: The last of them has tallies.
TALLIED = UUID(int=20)
HOLDER = UUID(int=2)
NOBODY = uuid4()
#: The tables that are small or empty here, so that reading them completely is the best plan.
SMALL = {"tenants", "jobs", "workers", "batches", "deliveries", "pushes", "attempts"}
CLAIMED = {"tokens": 10_000, "items": 256, "shards": 256, "lease": 30.0, "most_deaths": 9, "least": 2}
CLAIMED |= {"urgent": 0, "urgent_tokens": 2_500, "urgent_items": 64}
NEAR = {"tokens": 2_000, "items": 60, "shards": 60, "lease": 30.0, "bucket": 5}

_FILL = """
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded,
                  chunk_items, is_tallied)
SELECT lpad(to_hex(n), 32, '0')::uuid, '00000000-0000-0000-0000-000000000001', 'generate', 'echo', '{}', 1, 'open',
       60000, 60000, 60000, 10000, n = 20 FROM generate_series(1, 20) n;
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state, token, lease_until, attempts,
                    is_tallied)
SELECT lpad(to_hex(1 + n / 15000), 32, '0')::uuid, 'echo:' || n % 3, n % 12, n % 15000 * 4, n % 15000 * 4 + 4, 40, 1, n,
       CASE WHEN n % 100 = 0 THEN 'leased' WHEN n % 10 = 1 THEN 'ready' ELSE 'done' END,
       CASE WHEN n % 100 = 0 THEN '00000000-0000-0000-0000-000000000002'::uuid END,
       CASE WHEN n % 100 = 0 THEN now() + interval '1 hour' END, 1,
       CASE WHEN n >= 285000 THEN n % 100 > 0 AND n % 10 <> 1 END
FROM generate_series(0, 299999) n;
INSERT INTO tallies (job_id, slot, n_done, n_failed, n_input, n_output, n_padded, n_batches, n_deduplicated, used_input,
                     used_output, n_bytes, n_failed_bytes, n_warned, recent_at, recent)
SELECT lpad(to_hex(n), 32, '0')::uuid, slot, 100, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, '{"blank": 3}', 0,
       array_fill(0, ARRAY[12])
FROM generate_series(20, 1000) n, generate_series(1, 8) slot;
INSERT INTO items (job_id, pos, index, n_tokens, payload)
SELECT lpad(to_hex(n), 32, '0')::uuid, pos, pos, 10, '{}' FROM generate_series(1, 20) n, generate_series(0, 49999) pos;
INSERT INTO results (job_id, index, status, result)
SELECT lpad(to_hex(n), 32, '0')::uuid, index, 'succeeded', '{}'
FROM generate_series(1, 20) n, generate_series(0, 49999) index;
INSERT INTO source_blocks (job_id, first, n_rows, content)
SELECT lpad(to_hex(n), 32, '0')::uuid, first, 10, '' FROM generate_series(1, 20) n, generate_series(0, 49999, 10) first;
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded,
                  chunk_items, idempotency_key, request_hash, finished_at, deleted_at)
SELECT ('ffffffff-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, '00000000-0000-0000-0000-000000000001',
       'generate', 'echo', '{}', 1, 'completed', 64, 64, 64, 10000, 'key ' || n, '', now() - n * interval '1 minute',
       CASE WHEN n % 10 = 0 THEN now() END FROM generate_series(1, 20000) n;
INSERT INTO job_tags (tenant_id, tag, created_at, job_id)
SELECT tenant_id, 'nightly', created_at, id FROM jobs WHERE finished_at IS NOT NULL;
INSERT INTO turns (pool, priority, tenant_id, last_finish)
SELECT 'echo:' || n, 1, '00000000-0000-0000-0000-000000000001', n FROM generate_series(0, 2000) n;
ANALYZE;
"""


@pytest.fixture(scope="module", autouse=True)
def filled(servers: real.Urls) -> Iterator[None]:
    with filled_with(servers, _FILL):
        yield


@contextmanager
def filled_with(servers: real.Urls, statements: str) -> Iterator[None]:
    """A database of its own that holds what these statements write."""
    with servers.fresh_database() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv(real.DATABASE_VARIABLE, url)
        forget()
        with database.engine().begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            for statement in statements.split(";\n"):
                database.cursor(connection).execute(statement.encode())
        yield
        database.engine().dispose()
    forget()
    settings.get.cache_clear()


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.fixture(autouse=True, params=["custom", "generic"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test with custom plans, and with the generic plans that Postgres keeps for prepared statements."""
    monkeypatch.setattr(MODE, "name", request.param)


class MODE:
    name = "custom"


def explain(statement: str, **params: Any) -> list[dict[str, Any]]:
    """The nodes of the executed plan; its changes are rolled back. Fails if a large table is read completely.

    Plans for ``deliveries``, ``attempts`` and ``pushes``, which are empty here, are tested in ``test_webhook_plans``.
    """
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)[sb]", statement)))
    numbered = re.sub(r"%\((\w+)\)[sb]", lambda found: f"${names.index(found[1]) + 1}", statement)
    with database.engine().connect() as connection:
        cursor = database.cursor(connection)
        cursor.execute(f"SET LOCAL plan_cache_mode = force_{MODE.name}_plan".encode())
        cursor.execute(f"PREPARE explained AS {numbered}".encode())
        values = SQL(", ").join(Literal(params[name]) for name in names)
        run = SQL("EXECUTE explained({})" if names else "EXECUTE explained").format(values)
        cursor.execute(SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ") + run)
        nodes = list(_nodes(cursor.fetchall()[0][0][0]["Plan"]))
        cursor.execute("DEALLOCATE explained")
        connection.rollback()
    for node in nodes:
        if node["Node Type"] == "Seq Scan":
            assert node["Relation Name"] in SMALL, node
    return nodes


def indexes(nodes: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in nodes if "Index Name" in node}


def rows_read(nodes: list[dict[str, Any]]) -> float:
    """Rows that were read from tables, including those that were filtered out."""
    read: float = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
        if "Relation Name" in node and "Scan" in node["Node Type"]
    )
    return read


def blocks(nodes: list[dict[str, Any]]) -> int:
    found: int = nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"]
    return found


def ids(state: str, count: int = 8) -> list[int]:
    with database.engine().begin() as connection:
        statement = text("SELECT id FROM shards WHERE state = :state AND job_id = :job ORDER BY id LIMIT :count")
        return [row[0] for row in connection.execute(statement, {"state": state, "job": JOB, "count": count})]


def test_a_claim_reads_the_start_of_two_indexes() -> None:
    nodes = explain(claim._CLAIM, pool="echo:1", token=NOBODY, **CLAIMED)
    assert {"shards_head_idx", "shards_bucket_idx"} <= indexes(nodes)
    assert not [node for node in nodes if "Sort" in node["Node Type"]]
    assert rows_read(nodes) < 600
    assert nodes[0]["Actual Rows"] == 64


def test_a_claim_of_what_is_short_reads_the_start_of_each_bucket() -> None:
    nodes = explain(claim._CLAIM_SHORT, pool="echo:1", token=NOBODY, longest=18, **CLAIMED)
    assert indexes(nodes) == {"shards_bucket_idx", "shards_pkey"}
    assert rows_read(nodes) < 700
    assert nodes[0]["Actual Rows"] == 64


def test_a_small_claim_reads_the_start_of_the_neighbouring_buckets() -> None:
    nodes = explain(claim._CLAIM_NEAR, pool="echo:1", token=NOBODY, **NEAR)
    assert indexes(nodes) == {"shards_bucket_idx", "shards_pkey"}
    assert rows_read(nodes) < 5 * 60 + 200
    assert nodes[0]["Actual Rows"] == 15


def test_items_are_read_as_one_range_for_each_shard() -> None:
    nodes = explain(claim._ITEMS[0], ids=ids("leased"))
    assert {"Nested Loop"} <= {node["Node Type"] for node in nodes}
    assert indexes(nodes) == {"shards_pkey", "items_pkey"}
    assert rows_read(nodes) == 8 + 8 * 4


@pytest.mark.parametrize(
    ("statement", "more"),
    [
        (lease._HEARTBEAT, {"lease": 30.0}),
        (lease._RELEASE, {}),
        (lease._DELAY, {"seconds": 1.0, "attempts": 1}),
        (lease.STILL_HELD, {}),
    ],
    ids=["heartbeat", "release", "delay", "check"],
)
def test_heartbeats_and_releases_find_shards_by_id(statement: str, more: dict[str, float]) -> None:
    nodes = explain(statement, ids=ids("leased"), token=HOLDER, **more)
    assert indexes(nodes) == {"shards_pkey"}
    assert rows_read(nodes) <= 16 + 8
    assert not [node for node in nodes if node["Node Type"] == "Hash Join"]


def test_a_settlement_finds_its_shards_by_id() -> None:
    held = ids("leased")
    nodes = explain(
        settle._SETTLE[0],
        token=HOLDER,
        ids=held,
        shards=held * 4,
        indexes=[10**9 + number for number in range(len(held) * 4)],
        statuses=["succeeded"] * len(held) * 4,
        lines=[b"line"] * len(held) * 4,
        **{name: [1] * 8 for name in ("failed", "output", "padded", "deduplicated", "used_input", "used_output")},
        **{name: [1] * 8 for name in ("bytes", "failed_bytes")},
        batches=[1.0] * 8,
        warned=[None] * 8,
    )
    assert indexes(nodes) <= {"shards_pkey", "tallies_pkey"}
    assert rows_read(nodes) < 300  # the arrays and the fence are read too


@pytest.mark.parametrize("statement", [settle._LOCK_NEARLY_DONE, settle._COMPLETE])
@pytest.mark.parametrize("is_settled", [True, False])
def test_the_end_of_a_job_is_found_without_reading_its_shards(statement: str, is_settled: bool) -> None:
    settled = ids("leased") if is_settled else []
    nodes = explain(statement, jobs=[] if is_settled else [JOB], shards=settled, state="completed")
    assert rows_read(nodes) <= N_JOBS + 2 + 2 * len(settled)
    assert blocks(nodes) < 100


def test_expired_leases_are_found_by_time() -> None:
    for statement in (sweep._STORES_OF_EXPIRED, sweep._EXPIRE_LEASES[0], claim._CLAIM_CONDEMNED):
        nodes = explain(statement, max_deaths=3, token=NOBODY, lease=30.0, store=0)
        assert "shards_leased_idx" in indexes(nodes)
        assert rows_read(nodes) == 0


def release_after(shard_ids: list[int], hours: int) -> None:
    with database.engine().begin() as connection:
        statement = text("UPDATE shards SET lease_until = now() + make_interval(hours => :h) WHERE id = ANY(:ids)")
        connection.execute(statement, {"ids": shard_ids, "h": hours})


def test_halving_an_expired_shard_reads_only_its_own_items() -> None:
    some = ids("leased", 40)
    with database.engine().begin() as connection:
        connection.execute(
            text("UPDATE shards SET lease_until = now() - interval '1 s' WHERE id = ANY(:i)"), {"i": some}
        )
    nodes = explain(sweep._EXPIRE_LEASES[0], max_deaths=3, store=0)
    with database.engine().begin() as connection:
        connection.execute(
            text("UPDATE shards SET lease_until = now() + interval '1 h' WHERE id = ANY(:i)"), {"i": some}
        )
    assert {"shards_leased_idx", "items_pkey"} <= indexes(nodes)
    assert rows_read(nodes) < 40 * 8


def test_raising_a_jobs_priority_reads_its_own_open_shards() -> None:
    assert rows_read(explain(urgency._DUE)) <= N_JOBS
    assert rows_read(explain(urgency._LOCK, job=JOB)) < 3 * 3_500
    nodes = explain(urgency._MOVE, job=JOB, pool="echo:a", priority=0, start=0.0, weight=1.0)
    assert "shards_open_idx" in indexes(nodes)
    assert rows_read(nodes) < 3 * 3_500


def test_a_sweep_reads_little_if_nothing_is_wrong() -> None:
    nodes = explain(sweep._FINISHED_JOBS, after=UUID(int=0), limit=10)
    assert "jobs_open_idx" in indexes(nodes)
    assert rows_read(nodes) <= 3 * 10
    assert rows_read(explain(sweep._WAITING_POOLS)) <= 20
    assert rows_read(explain(sweep._DELIVERIES_DUE)) == 0
    assert rows_read(explain(cancel._OVERDUE)) <= N_JOBS


def test_ending_a_job_reads_its_own_open_shards() -> None:
    for statement in (cancel._LOCK_OPEN_SHARDS, cancel._DROP_SHARDS):
        nodes = explain(statement, jobs=[JOB], state="cancelled")
        assert "shards_open_idx" in indexes(nodes)
        assert rows_read(nodes) < 3_500


def test_a_jobs_figures_read_its_own_shards() -> None:
    nodes = explain(job_figures._FIGURES.format(where=job_figures._ONE), job=JOB, tenant=None)
    assert rows_read(nodes) <= 15_000 + N_JOBS


def test_the_figures_of_a_job_with_tallies_cost_the_same_at_any_size() -> None:
    for _ in range(2):  # the first time, the session reads the catalog too
        nodes = explain(job_figures._FIGURES.format(where=job_figures._ONE), job=TALLIED, tenant=None)
    assert rows_read(nodes) <= N_JOBS + 8
    assert blocks(nodes) <= 24


def test_a_queued_job_is_told_from_a_running_one_without_reading_its_shards() -> None:
    assert job_figures._FIRST_STATE in job_figures._FIGURES
    nodes = explain("SELECT" + job_figures._FIRST_STATE + "FROM jobs WHERE id = %(job)s", job=JOB)
    assert "shards_open_idx" in indexes(nodes)
    assert rows_read(nodes) <= 5
    assert blocks(nodes) <= 12


def test_a_page_of_jobs_reads_only_the_shards_of_its_jobs() -> None:
    nodes = explain(job_figures._FIGURES.format(where=job_figures._PAGE), tenant=UUID(int=1), after=None, limit=2)
    assert rows_read(nodes) <= 2 * 15_000 + N_JOBS


@pytest.mark.parametrize("after", [-1, 4_999])
def test_a_page_of_results_reads_only_its_own_rows(after: int) -> None:
    nodes = explain(
        results._STATEMENTS[True, False][0], job=JOB, after=after, start=0, end=10_000, limit=1_000, bytes=2**22
    )
    assert {"results_pkey", "shards_job_id_lo_key"} <= indexes(nodes)
    assert rows_read(nodes) <= 1_000 + 2_500


def test_the_start_tag_is_read_from_the_first_shard_of_the_queue() -> None:
    nodes = explain(fair_queue._FAIR_START, pool="echo:1", priority=1, tenant_id=UUID(int=1))
    assert "shards_head_idx" in indexes(nodes)
    assert rows_read(nodes) <= 3


def test_open_work_is_summed_without_reading_any_shard() -> None:
    nodes = explain(pending._BY_TENANT)
    assert indexes(nodes) == {"jobs_tenant_open_idx", "tallies_pkey"}
    assert rows_read(nodes) <= N_JOBS + 8 + 10


def test_what_a_scrape_always_reads_stands_first_in_indexes() -> None:
    nodes = explain(gauges._GAUGES, lost=15.0)
    assert {"jobs_open_work_idx", "jobs_deadline_idx"} <= indexes(nodes)
    assert rows_read(nodes) <= 10


def test_the_sums_of_a_scrape_read_open_jobs_and_leased_shards_alone() -> None:
    # Without the jobs of few shards: here they have thousands.
    nodes = explain(gauges._SUMS, by_tenant=False, exact=0)
    assert {"shards_leased_idx", "tallies_pkey"} <= indexes(nodes)
    assert rows_read(nodes) < 2 * 3_000 + N_JOBS + 2_000  # 27,000 shards wait


@pytest.mark.parametrize("models", [None, ["echo"], ["other"]])
def test_an_autoscaler_reads_open_jobs_and_leased_shards_alone(models: list[str] | None) -> None:
    nodes = explain(scaling._DUE, models=models, drain=900.0)
    assert not [node for node in nodes if node.get("Relation Name") == "shards"]
    assert rows_read(nodes) <= N_JOBS + 8, "the tallies of one job"
    nodes = explain(scaling._RUNNING, models=models)
    assert "shards_leased_idx" in indexes(nodes)
    assert rows_read(nodes) < 2 * 3_000 + 20_020 + 100  # 27,000 shards wait


def test_counting_a_tenants_open_jobs_reads_only_its_own_up_to_the_limit() -> None:
    nodes = explain(pending._N_OPEN, tenant=UUID(int=1), most=7)
    assert indexes(nodes) <= {"jobs_tenant_open_idx", "jobs_open_idx"}
    assert rows_read(nodes) <= 3 * 7


def test_ended_jobs_whose_usage_is_due_are_found_by_index() -> None:
    with database.engine().begin() as connection:
        ended = "UPDATE jobs SET usage_due = true, key_id = tenant_id WHERE idempotency_key IN ('key 77', 'key 777')"
        connection.execute(text(ended))
    nodes = explain(usage._COUNT_ENDED, limit=100)
    assert {"jobs_usage_due_idx", "shards_job_id_lo_key"} <= indexes(nodes)
    assert rows_read(nodes) <= 30


def test_the_speed_of_a_model_is_measured_on_a_few_jobs_alone() -> None:
    nodes = explain(speed._MEASURED, model="echo", least=10)
    assert {"shards_leased_idx", "shards_job_id_lo_key", "tallies_pkey", "jobs_finished_idx"} <= indexes(nodes)


def test_what_waits_for_a_model_is_summed_without_reading_any_shard() -> None:
    nodes = explain(ahead._QUEUED, models=["echo"], least=1)
    assert not [node for node in nodes if node.get("Relation Name") == "shards"]
    assert "tallies_pkey" in indexes(nodes)


def test_a_request_is_found_by_its_idempotency_key() -> None:
    nodes = explain(idempotency._FIND, tenant=UUID(int=1), key="key 7")
    assert indexes(nodes) == {"jobs_idempotency_key_idx"}
    assert rows_read(nodes) == 1


def test_the_job_of_an_idempotency_key_is_found_without_reading_others() -> None:
    nodes = explain(job_figures._FIGURES.format(where=job_figures._SUBMITTED_AS), tenant=UUID(int=1), key="key 7")
    assert {"jobs_idempotency_key_idx", "shards_job_id_lo_key"} <= indexes(nodes)
    assert rows_read(nodes) <= 3


def test_jobs_past_their_retention_are_found_by_end_time() -> None:
    nodes = explain(retention._EXPIRE, retention=86_400, limit=100)
    assert "jobs_finished_idx" in indexes(nodes)
    assert rows_read(nodes) <= 100 + 100 + 100
    assert rows_read(explain(retention._EXPIRE, retention=86_400 * 365, limit=100)) == 0


def test_deleted_jobs_are_found_by_index() -> None:
    nodes = explain(retention._TAKE, limit=100)
    assert indexes(nodes) == {"jobs_deleted_idx"}
    assert rows_read(nodes) <= 200


@pytest.mark.parametrize("jobs", [[JOB], [JOB] * 100], ids=["a large job", "many small ones"])
@pytest.mark.parametrize("statement", retention._REMOVE, ids=["results", "items", "shards", "source blocks"])
def test_a_portion_is_removed_by_a_range_of_the_primary_key(statement: str, jobs: list[UUID]) -> None:
    n_items = 5_000 // len(jobs)
    starts = [n * n_items for n in range(len(jobs))]
    nodes = explain(statement, jobs=jobs, starts=starts, ends=[start + n_items for start in starts])
    assert len(indexes(nodes)) == 1
    assert {"Tid Scan"} <= {node["Node Type"] for node in nodes}
    assert rows_read(nodes) <= 2 * 5_000 + 2 * len(jobs)


def test_the_remaining_rows_of_a_purged_job_are_found_by_id() -> None:
    assert indexes(explain(retention._KEEP_COUNT, jobs=[JOB], starts=[1], ends=[2])) == {"jobs_pkey"}
    for statement in retention._FORGET:
        assert rows_read(explain(statement, jobs=[JOB])) <= 1


def test_the_rows_of_a_table_are_found_by_their_numbers() -> None:
    nodes = explain(source._READ, job=JOB, start=25_005, end=25_031)
    assert indexes(nodes) == {"source_blocks_pkey"}
    assert rows_read(nodes) <= 4 + 1


def test_failed_items_are_searched_only_in_shards_with_failures() -> None:
    with database.engine().begin() as connection:
        failing = text("UPDATE shards SET n_failed = 1 WHERE job_id = :job AND lo IN (400, 4000)")
        connection.execute(failing, {"job": JOB})
    nodes = explain(retry._PLACES[0], job=JOB, start=0, end=10_000)
    assert indexes(nodes) == {"shards_job_id_lo_key", "items_pkey", "results_pkey"}
    assert rows_read(nodes) <= 2_500 + 2 * 4 + 2 * 4


def test_failed_items_are_fetched_by_primary_key() -> None:
    nodes = explain(retry._PAYLOADS[0], job=JOB, places=list(range(0, 10_000, 10)))
    assert indexes(nodes) == {"items_pkey"}
    assert rows_read(nodes) <= 1_000
