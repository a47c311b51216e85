"""Query plans in a new database: without statistics, a bucket is still read by its index."""

from collections.abc import Iterator

import pytest

from lengthwise.ledger import gauges, scaling
from lengthwise.ledger.queue import claim, sweep
from tests import servers as real
from tests.integration.queue.test_query_plans import (
    CLAIMED,
    NEAR,
    NOBODY,
    explain,
    filled_with,
    indexes,
    mode,
    rows_read,
)

__all__ = ["mode"]

#: One job whose shards wait in six buckets. There are no statistics yet: autovacuum runs after a minute.
_FILL = """
ALTER TABLE shards SET (autovacuum_enabled = off);
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded,
                  chunk_items)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', 'generate', 'echo', '{}', 1,
        'open', 8000, 8000, 8000, 10000);
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state)
SELECT '00000000-0000-0000-0000-000000000001', 'echo:1', n % 6 + 1, n * 4, n * 4 + 4, 40, 1, n, 'ready'
FROM generate_series(0, 1999) n
"""


@pytest.fixture(scope="module", autouse=True)
def filled(servers: real.Urls) -> Iterator[None]:
    with filled_with(servers, _FILL):
        yield


def test_a_claim_reads_no_bucket_but_its_own() -> None:
    nodes = explain(claim._CLAIM, pool="echo:1", token=NOBODY, **CLAIMED)
    assert {"shards_head_idx", "shards_bucket_idx"} <= indexes(nodes)
    assert rows_read(nodes) < 600


def test_a_small_claim_reads_only_what_it_may_take_of_each_neighbour() -> None:
    nodes = explain(claim._CLAIM_NEAR, pool="echo:1", token=NOBODY, **NEAR)
    assert "shards_bucket_idx" in indexes(nodes)
    assert rows_read(nodes) < 6 * 60 + 200


def test_looking_for_waiting_work_reads_the_start_of_the_index() -> None:
    nodes = explain(sweep._WAITING_POOLS)
    assert "shards_head_idx" in indexes(nodes)
    assert rows_read(nodes) < 10


def test_a_scrape_and_an_autoscaler_read_no_waiting_shard() -> None:
    for nodes in (explain(gauges._SUMS, by_tenant=False, exact=0), explain(scaling._RUNNING, models=None)):
        assert "shards_leased_idx" in indexes(nodes)
        assert rows_read(nodes) < 20
    assert rows_read(explain(gauges._GAUGES, lost=15.0)) < 20
