"""Query plans of webhooks: with many deliveries each query still reads only what it needs, by index."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from lengthwise import database
from lengthwise.ledger.jobs import retention, submit
from lengthwise.ledger.queue import sweep
from lengthwise.ledger.webhooks import delivery, delivery_log, event, push, sealed_secret
from tests import servers as real
from tests.integration.queue.test_query_plans import explain, filled_with, indexes, mode, rows_read

__all__ = ["mode"]

#: Of 100,000 deliveries of 100 endpoints one in ten waits, in a hundred lanes, and half of those are due.
ENDPOINT, N_LANES = UUID(int=1), 100
TENANT = UUID(int=1)

_FILL = """
INSERT INTO tenants (id, name) SELECT lpad(to_hex(1000 + n), 32, '0')::uuid, 'tenant ' || n FROM generate_series(1, 500) n;
INSERT INTO webhook_endpoints (id, tenant_id, url, events, secret, signing_key, public_key)
SELECT lpad(to_hex(n), 32, '0')::uuid,
       CASE WHEN n < 5 THEN '00000000-0000-0000-0000-000000000001'::uuid ELSE lpad(to_hex(1000 + n % 500 + 1), 32, '0')::uuid END,
       'https://8.8.8.8/', ARRAY['job.*'], 'sealed:00000000:', 'sealed:00000000:', '' FROM generate_series(1, 5000) n;
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded,
                  chunk_items, webhook_secret, followers)
SELECT lpad(to_hex(n), 32, '0')::uuid, '00000000-0000-0000-0000-000000000001', 'generate', 'echo', '{}', 1, 'completed',
       64, 64, 64, 10000, CASE WHEN n % 10 = 0 THEN 'sealed:00000000:' WHEN n = 1 THEN 'whsec_x' END,
       ARRAY['00000000-0000-0000-0000-000000000001'::uuid] FROM generate_series(1, 20000) n;
INSERT INTO deliveries (id, job_id, endpoint_id, lane, url, event, body, state, next_attempt_at, created_at)
SELECT gen_random_uuid(), lpad(to_hex(1 + n / 5), 32, '0')::uuid, lpad(to_hex(1 + n % 100), 32, '0')::uuid,
       lpad(to_hex(1 + n % 100), 32, '0')::uuid, 'https://8.8.8.8/', 'job.completed', '',
       CASE WHEN n / 100 % 10 = 0 THEN 'pending' ELSE 'delivered' END,
       now() + CASE WHEN n / 1000 % 2 = 0 THEN -1 ELSE 1 END * interval '1 hour', now() - n * interval '1 second'
FROM generate_series(0, 99999) n;
INSERT INTO attempts (delivery_id, n, started_at, seconds) SELECT id, 1, now(), 1 FROM deliveries;
INSERT INTO items (job_id, pos, index, n_tokens, payload)
SELECT lpad(to_hex(n), 32, '0')::uuid, pos, 63 - pos, 1, '{}' FROM generate_series(1, 2000) n, generate_series(0, 63) pos;
INSERT INTO results (job_id, index, status, result)
SELECT lpad(to_hex(n), 32, '0')::uuid, index, 'succeeded', '{}' FROM generate_series(1, 2000) n, generate_series(0, 63) index;
INSERT INTO pushes (job_id, lo, hi)
SELECT lpad(to_hex(n), 32, '0')::uuid, 0, 64 FROM generate_series(1, 10000) n;
ANALYZE;
"""  # noqa: E501 - a table each line


@pytest.fixture(scope="module", autouse=True)
def filled(servers: real.Urls) -> Iterator[None]:
    with filled_with(servers, _FILL):
        yield


def test_a_claim_reads_the_start_of_each_lane() -> None:
    nodes = explain(delivery._CLAIM_DUE, token=TENANT, limit=64, lane_limit=8, hold=30.0)
    assert {"deliveries_lane_idx", "deliveries_pkey"} <= indexes(nodes)
    assert nodes[0]["Actual Rows"] == 64
    assert rows_read(nodes) < N_LANES * (8 + 3) + 6 * 64


def test_a_claim_reads_little_if_nothing_is_due() -> None:
    with database.engine().begin() as connection:
        connection.execute(text("UPDATE deliveries SET next_attempt_at = next_attempt_at + interval '1 day'"))
    nodes = explain(delivery._CLAIM_DUE, token=TENANT, limit=64, lane_limit=8, hold=30.0)
    due = rows_read(explain(sweep._DELIVERIES_DUE))
    with database.engine().begin() as connection:
        connection.execute(text("UPDATE deliveries SET next_attempt_at = next_attempt_at - interval '1 day'"))
        connection.execute(text("ANALYZE deliveries"))
    assert rows_read(nodes) < N_LANES * 5
    assert due <= 1


def test_the_end_of_a_job_reads_its_tenants_endpoints() -> None:
    nodes = explain(event._RECEIVERS, jobs=[UUID(int=7)])
    assert "webhook_endpoints_tenant_id_created_at_id_idx" in indexes(nodes)
    assert rows_read(nodes) <= 4 + 3


@pytest.mark.parametrize("tenant", [TENANT, UUID(int=77)])
def test_the_followers_of_a_new_job_are_found_by_tenant(tenant: UUID) -> None:
    nodes = explain(push.FOLLOWERS, tenant=tenant)
    assert indexes(nodes) == {"webhook_endpoints_tenant_id_created_at_id_idx"}
    assert rows_read(nodes) <= 4
    assert f"EXISTS ({push.FOLLOWERS})" in submit._INSERT_SHARDS


def test_pushes_are_taken_from_the_start_of_their_index() -> None:
    nodes = explain(push._TAKE, limit=64)
    assert indexes(nodes) == {"pushes_pkey"}
    assert rows_read(nodes) <= 3 * 64


def test_a_shards_results_are_read_by_their_keys() -> None:
    nodes = explain(push._LINES[0], job=UUID(int=9), lo=0, hi=64)
    assert indexes(nodes) == {"items_pkey", "results_pkey"}
    assert rows_read(nodes) <= 2 * 64
    assert indexes(explain(push._FOLLOWING, jobs=[UUID(int=9)])) <= {"jobs_pkey", "webhook_endpoints_pkey"}


def test_recording_an_attempt_finds_its_delivery_by_id() -> None:
    values = {"started_at": datetime.now(UTC), "seconds": 1.0, "status": 200, "error": "", "response": ""}
    nodes = explain(delivery._RECORD, id=TENANT, token=TENANT, state="delivered", next=0.0, **values)
    assert indexes(nodes) <= {"deliveries_pkey", "deliveries_held_idx"}, "few are held at a time"
    assert rows_read(nodes) <= 2


def test_an_endpoints_deliveries_are_read_a_page_at_a_time() -> None:
    shown = delivery_log._SHOWN.format(where=delivery_log._OF_ENDPOINT)
    nodes = explain(shown, endpoint=ENDPOINT, state=None, after=None, limit=20)
    assert "deliveries_endpoint_id_idx" in indexes(nodes)
    assert rows_read(nodes) <= 20 + 20
    since = explain(delivery_log._REPLAY, endpoint=ENDPOINT, since=datetime.now(UTC), only_failed=False, limit=10_000)
    assert "deliveries_endpoint_id_idx" in indexes(since)
    assert rows_read(since) <= 2
    assert "deliveries_endpoint_id_idx" in indexes(explain(delivery.FAIL_PENDING, endpoint=ENDPOINT))


def test_secrets_under_older_master_keys_are_found_by_index() -> None:
    nodes = explain(sealed_secret._JOBS.format(table="jobs"), keys=["", "11111111"], limit=1000)
    assert "jobs_sealed_idx" in indexes(nodes)
    assert rows_read(nodes) <= 4


def test_test_events_past_their_retention_are_found_by_age() -> None:
    nodes = explain(retention._FORGET_JOBLESS, retention=3600, limit=100)
    assert "deliveries_jobless_idx" in indexes(nodes)
    assert rows_read(nodes) == 0
