"""Query plans of a store: a table that one job fills is read by its key, whatever the statistics say."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from lengthwise.ledger.jobs import results, retry
from lengthwise.ledger.queue import claim, sweep
from lengthwise.ledger.webhooks import push
from tests import servers as real
from tests.integration.queue.test_query_plans import explain, filled_with, indexes, mode, rows_read

__all__ = ["mode"]

JOB = UUID(int=2)

_ROWS = """
INSERT INTO items_1 (job_id, pos, index, n_tokens, payload)
SELECT '{job}', pos, pos, 10, '{{}}' FROM generate_series(0, 49999) pos;
INSERT INTO results_1 (job_id, index, status, result)
SELECT '{job}', index, 'succeeded', '{{}}' FROM generate_series(0, 49999) index;
"""
_TRUNCATE = "TRUNCATE items_1, results_1;\n"
_SHARDS = f"""
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state)
SELECT '{UUID(int=9)}', 'echo:1', 1, lo, lo + 1, 10, 1, lo, 'done' FROM generate_series(0, 49999) lo;
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state, n_failed, lease_until, token, store)
SELECT '{JOB}', 'echo:1', 1, lo, lo + 50, 500, 1, lo, CASE WHEN lo % 5000 = 0 THEN 'leased' ELSE 'done' END,
       CASE WHEN lo % 5000 = 50 THEN 1 ELSE 0 END, now() - interval '1 s', '{JOB}', 1
FROM generate_series(0, 49999, 50) lo;
ANALYZE shards"""  # noqa: S608 - our own names

#: What the statistics know of the rows.
_FILLED = {
    "nothing": _ROWS.format(job=JOB) + _SHARDS,
    "these rows": _ROWS.format(job=JOB) + "ANALYZE;\n" + _SHARDS,
    "an earlier job": _ROWS.format(job=UUID(int=1)) + "ANALYZE;\n" + _TRUNCATE + _ROWS.format(job=JOB) + _SHARDS,
    "an empty table": "ANALYZE;\n" + _ROWS.format(job=JOB) + _SHARDS,
}


@pytest.fixture(scope="module", autouse=True, params=list(_FILLED.values()), ids=list(_FILLED))
def filled(servers: real.Urls, request: pytest.FixtureRequest) -> Iterator[None]:
    with filled_with(servers, request.param):
        yield


@pytest.mark.parametrize(
    ("statement", "values", "used", "most"),
    [
        (claim._ITEMS[1], {"ids": [1, 2, 3]}, {"items_1_pkey"}, 3 + 3 * 50),
        (results._IS_SHORT, {"start": 0, "end": 10_000}, {"shards_job_id_lo_key"}, 200),
        (results._OF_SHORT_CHUNKS[False][1], {"after": 4_999, "end": 10_000}, {"results_1_pkey"}, 1_000),
        (results._STATEMENTS[False, False][1], {"after": 4_999, "end": 10_000}, {"results_1_pkey"}, 1_000),
        (
            results._STATEMENTS[True, False][1],
            {"after": 4_999, "start": 0, "end": 10_000},
            {"results_1_pkey"},
            1_000 + 1_000,
        ),
        (retry._PLACES[1], {"start": 0, "end": 10_000}, {"items_1_pkey", "results_1_pkey"}, 1_000 + 2 * 50 * 2),
        (retry._PAYLOADS[1], {"places": list(range(0, 10_000, 10))}, {"items_1_pkey"}, 1_000),
        (push._LINES[1], {"lo": 100, "hi": 150}, {"items_1_pkey", "results_1_pkey"}, 2 * 50),
        (sweep._EXPIRE_LEASES[1], {"store": 1, "max_deaths": 3}, {"items_1_pkey"}, 10 * 25 + 5 * 1_000),
    ],
    ids=[
        "claim",
        "short chunks",
        "short results",
        "results",
        "results with dropped",
        "failed items",
        "payloads",
        "pushes",
        "expired leases",
    ],
)
def test_a_statement_reads_only_the_rows_that_it_needs(
    statement: str, values: dict[str, Any], used: set[str], most: int
) -> None:
    nodes = [
        node
        for node in explain(statement, job=JOB, limit=1_000, bytes=2**22, **values)
        if node.get("Relation Name") in (None, "items_1", "results_1", "shards")
    ]
    assert used <= indexes(nodes)
    assert rows_read(nodes) <= most
