"""Query plans: why a job is not done, and what failed of it, cost the same however much waits."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from lengthwise.ledger.why import facts, failed_lines
from tests import servers as real
from tests.integration.queue import test_query_plans as plans
from tests.integration.queue.test_query_plans import JOB, TALLIED, explain, filled_with, indexes, mode, rows_read

__all__ = ["mode"]

LIMITS = {"open": 500, "pools": 8, "ahead": 1_000}
N_POOLS = 3


@pytest.fixture(scope="module", autouse=True)
def filled(servers: real.Urls) -> Iterator[None]:
    with filled_with(servers, plans._FILL):
        yield


@pytest.mark.parametrize("job", [JOB, TALLIED], ids=["the first in the queue", "the last"])
def test_the_open_shards_of_a_job_and_what_comes_first_are_read_up_to_a_limit(job: UUID) -> None:
    nodes = explain(facts._SHARDS, job=job, **LIMITS)
    assert {"shards_open_idx", "shards_head_idx"} <= indexes(nodes)
    assert nodes[0]["Actual Rows"] == N_POOLS
    assert rows_read(nodes) <= 500 + N_POOLS * (1_000 + 20 + 10)


def test_the_place_of_a_job_is_sought_among_some_thousand_rows() -> None:
    limits = {"open": facts._OPEN_SHARDS, "pools": facts._POOLS, "ahead": facts.MOST_AHEAD}
    nodes = explain(facts._SHARDS, job=TALLIED, **limits)
    assert rows_read(nodes) <= 1_000 + N_POOLS * 1_100, "of 27,000 that wait"


def test_waiting_pools_are_found_by_their_heads() -> None:
    nodes = explain(facts._WAITING, pools=200, heads=100)
    assert nodes[0]["Actual Rows"] == N_POOLS
    assert rows_read(nodes) <= N_POOLS * (100 + 3) + 10


def test_a_jobs_webhooks_are_found_by_the_job() -> None:
    nodes = explain(facts._WEBHOOKS, job=JOB, limit=1_000)
    assert rows_read(nodes) == 0


def test_failed_lines_are_sought_in_the_first_shards_only() -> None:
    nodes = explain(failed_lines._FAILED_LINES[0], job=JOB, shards=2_000, failed_shards=10, lines=100)
    assert rows_read(nodes) <= 2_000, "none of them has a failure"
