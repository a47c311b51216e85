"""When a job would end: by what its model did lately, or else by what a trial measured."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.ledger import tally
from lengthwise.ledger.queue import speed
from lengthwise.settings import Settings
from lengthwise.states import Priority
from tests.integration.conftest import submit
from tests.integration.jobs.test_estimate import GENERATE, estimate
from tests.ledger import DEFAULT, must_take, new_tenant, put, sql, take
from tests.ledger import submit as write

LOAD = {"memory_bytes": 1, "items_per_second": 2.5, "tokens_per_second": 50, "precision": "fp32", "device": "cpu",
        "threads": 1}  # fmt: skip


def measured(model: str = "echo") -> float | None:
    with database.engine().begin() as connection:
        return speed.measured(connection, model)


def work(n_shards: int, *, every_seconds: float, is_open: bool = True) -> None:
    """Settles shards of 10 tokens one after the other, the last of them just now."""
    write(["x" * 10] * (n_shards + is_open), shard_items=1)
    held = [must_take(items=1) for _ in range(n_shards + is_open)]
    for claimed in held[:n_shards]:
        put(claimed)
    sql(
        "UPDATE shards SET settled_at = now() - (place - 1) * make_interval(secs => :every)"
        " FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS place FROM shards WHERE state = 'done') done"
        " WHERE shards.id = done.id",
        every=every_seconds,
    )


@pytest.mark.parametrize("is_open", [True, False], ids=["running", "ended"])
def test_the_speed_of_a_small_job_is_measured_over_the_time_in_which_it_worked(
    installed: Settings, is_open: bool
) -> None:
    work(10, every_seconds=3, is_open=is_open)
    found = measured()
    assert found is not None
    assert 10 * 10 / 37 <= found <= 10 * 10 / 25, "27 s, and at most an interval at each end"
    assert measured("another") is None


def test_a_short_burst_is_no_measure(installed: Settings) -> None:
    work(10, every_seconds=0.1)
    assert measured() is None


def test_what_was_done_before_the_last_minute_is_no_measure(installed: Settings) -> None:
    work(10, every_seconds=3)
    sql("UPDATE shards SET settled_at = settled_at - interval '2 minutes' WHERE state = 'done'")
    assert measured() is None


def test_a_large_job_is_measured_by_its_tallies(installed: Settings) -> None:
    write(["x" * 10] * (tally.MANY_SHARDS + 2), shard_items=1)
    for _ in range(tally.MANY_SHARDS + 1):
        put(must_take(items=1))
    assert take(items=1) is not None
    sql(
        "UPDATE tallies SET recent = array_fill(4, ARRAY[12]),"
        " recent_at = (SELECT CAST(floor(extract(epoch FROM now()) / 5) AS bigint))"
    )
    found = measured()
    assert found is not None
    n_tallies = sql("SELECT count(*) FROM tallies")[0][0]
    assert n_tallies * 12 * 4 * 10 / 60 <= found <= n_tallies * 12 * 4 * 10 / 55 + 0.1


def test_a_trial_counts_only_if_nothing_was_measured_lately(client: TestClient, catalog: Path) -> None:
    body = GENERATE | {"items": ["x" * 10]}

    def source() -> tuple[str | None, float | None]:
        found = estimate(client, body)["speed"]
        return found["source"], found["tokens_per_second"]

    unknown = estimate(client, body)
    assert unknown["speed"]["source"] is None
    assert "lengthwise model check echo" in unknown["speed"]["reason"]
    assert (unknown["own_seconds"], unknown["seconds"], unknown["estimated_end_at"]) == (None, None, None)
    (catalog.parent / "echo" / "report.json").write_text(json.dumps({"load": LOAD}))
    assert source() == ("trial", 50)
    work(10, every_seconds=3)
    assert source()[0] == "measured"


def test_a_job_ends_behind_what_waits_before_it(client: TestClient, catalog: Path) -> None:
    (catalog.parent / "echo" / "report.json").write_text(json.dumps({"load": LOAD}))
    body = GENERATE | {"items": ["x" * 10] * 10}
    alone = estimate(client, body)
    assert (alone["tokens_ahead"], alone["own_seconds"], alone["seconds"]) == (0, 2, 2)
    submit(client, ["x" * 10] * 5)
    write(["x" * 100] * 10, tenant=new_tenant())
    write(["x" * 10], tenant=DEFAULT, priority=Priority.INTERACTIVE)
    write(["x" * 10], tenant=DEFAULT, priority=Priority.BACKGROUND)
    found = estimate(client, body)
    assert found["tokens_ahead"] == 10 + 50 + 150, "what is urgent, the tenant's own, and as much of the other's"
    assert found["seconds"] == (found["tokens_ahead"] + 100) / 50
    ends_at = datetime.fromisoformat(found["estimated_end_at"])
    assert 0 < (ends_at - datetime.now(UTC)).total_seconds() <= found["seconds"]
    urgent = estimate(client, body | {"priority": "interactive"})
    assert urgent["tokens_ahead"] == 10


def test_work_that_is_done_is_not_ahead(client: TestClient) -> None:
    write(["x" * 10] * (tally.MANY_SHARDS + 2), shard_items=1)
    body = GENERATE | {"items": ["x"]}
    before = estimate(client, body)["tokens_ahead"]
    put(must_take(items=1))
    assert estimate(client, body)["tokens_ahead"] == before - 10
