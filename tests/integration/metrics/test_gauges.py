"""The gauges of the ledger, against what the ledger holds; and that they are shown while servers are away."""

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from lengthwise import database, queue, settings
from lengthwise.ledger import gauges
from lengthwise.metrics.queue import QueueCollector
from lengthwise.states import Priority, WorkerRole, WorkerState
from tests.integration.conftest import RunWorker
from tests.integration.conftest import submit as submit_over_http
from tests.integration.why.crew import seen
from tests.ledger import must_take, put, sql, submit

#: How often workers report themselves, in seconds.
PRESENCE = 5.0


class Scraped:
    """One scrape of the gauges."""

    def __init__(self, *, tenants: bool = False) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(QueueCollector(database.engine(), tenants=tenants, presence_seconds=PRESENCE))

    def value(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(f"lengthwise_{name}", labels)


def read() -> gauges.LedgerGauges:
    with database.engine().asking() as connection:
        return gauges.read(connection, lost_seconds=3 * PRESENCE)


def sums(*, by_tenant: bool = False) -> gauges.OpenSums:
    with database.engine().asking() as connection:
        return gauges.sum_open(connection, by_tenant=by_tenant)


GENERATE = {"kind": "generate", "model": "echo"}


def test_an_empty_ledger_has_no_work_and_nothing_old(installed: settings.Settings) -> None:
    assert read() == gauges.LedgerGauges({}, None, 0.0, {})
    assert sums() == gauges.OpenSums([], 0, 0)
    scraped = Scraped()
    assert scraped.value("ledger_up") == 1
    assert scraped.value("broker_up") == 1
    assert scraped.value("oldest_pending_seconds", priority="normal") == 0


def test_items_and_tokens_that_wait_run_and_are_done(installed: settings.Settings) -> None:
    submit(["abc"] * 200)
    assert [(work.kind, work.n_open, work.n_running) for work in sums().work] == [("generate", 200, 0)]
    tokens = sums().work[0].n_tokens
    assert tokens == 600
    claimed = must_take(items=64)
    [work] = sums().work
    assert (work.n_open, work.n_running, work.n_tokens) == (200, 64, tokens)
    put(claimed)
    [work] = sums().work
    assert (work.n_open, work.n_running) == (136, 0)
    assert work.n_tokens == 3 * 136
    scraped = Scraped()
    assert scraped.value("items", state="waiting", **GENERATE) == 136
    assert scraped.value("items", state="running", **GENERATE) == 0
    assert scraped.value("pending_tokens", **GENERATE) == work.n_tokens
    assert scraped.value("open_jobs") == 1


def test_a_job_with_tallies_is_counted_by_them(installed: settings.Settings) -> None:
    submit(["abc"] * 4_000)
    assert sql("SELECT is_tallied FROM jobs") == [(True,)]
    put(must_take(items=64))
    claimed = must_take(items=64)
    [work] = sums().work
    assert (work.n_open, work.n_running) == (4_000 - 64, len(claimed.items))


def test_what_is_done_of_small_jobs_is_subtracted_for_the_oldest_of_each_priority_and_model(
    installed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for priority in (Priority.NORMAL, Priority.BACKGROUND):
        for _ in range(3):
            submit(["abc"] * 10, priority=priority, shard_items=2)
    sql("UPDATE shards SET state = 'done' WHERE lo = 0")
    assert (sums().work[0].n_open, sums().work[0].n_tokens) == (6 * 8, 6 * 8 * 3)
    monkeypatch.setattr(gauges, "_EXACT_JOBS", 2)
    assert (sums().work[0].n_open, sums().work[0].n_tokens) == (4 * 8 + 2 * 10, (4 * 8 + 2 * 10) * 3)


def test_a_scrape_does_not_wait_for_sums_that_take_long(
    installed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows those that were found after the scrape before, and all other gauges as they are."""
    real, may_go_on, n_asked = gauges.sum_open, Event(), 0

    def slow(*arguments: Any, **more: Any) -> gauges.OpenSums:
        nonlocal n_asked
        n_asked += 1
        if n_asked > 1:
            assert may_go_on.wait(60)
        return real(*arguments, **more)

    monkeypatch.setattr(gauges, "sum_open", slow)
    monkeypatch.setattr("lengthwise.metrics.queue._SHARED_SECONDS", 0.0)
    scraped = Scraped()
    assert scraped.value("open_jobs") == 0
    submit(["abc"])
    seen()
    assert scraped.value("workers", role="generate", state="idle") == 1
    assert scraped.value("open_jobs") == 0, "its sums are still being found"
    may_go_on.set()
    gives_up_at = time.monotonic() + 60
    while scraped.value("open_jobs") == 0 and time.monotonic() < gives_up_at:
        time.sleep(0.01)
    assert scraped.value("open_jobs") == 1


def test_ended_jobs_are_not_counted(client: TestClient, run_worker: RunWorker) -> None:
    submit_over_http(client, ["abc"] * 10)
    run_worker()
    assert sums().work == []
    assert sums().n_jobs == 0


def test_the_oldest_job_of_each_priority_and_the_deadlines(installed: settings.Settings) -> None:
    for priority in (Priority.NORMAL, Priority.BACKGROUND):
        submit(["abc"], priority=priority)
    sql("UPDATE jobs SET created_at = now() - interval '1 hour' WHERE priority = 2")
    found = read()
    assert found.oldest_seconds[Priority.BACKGROUND] == pytest.approx(3_600, abs=60)
    assert found.oldest_seconds[Priority.NORMAL] < 60
    assert (found.deadline_seconds, sums().n_near_deadline) == (None, 0)
    sql("UPDATE jobs SET deadline_at = now() + interval '5 minutes' WHERE priority = 2")
    sql("UPDATE jobs SET deadline_at = now() + interval '1 hour' WHERE priority = 1")
    found = read()
    assert found.deadline_seconds == pytest.approx(300, abs=60)
    assert sums().n_near_deadline == 1


def test_the_most_overdue_webhook(installed: settings.Settings) -> None:
    deliveries = """
    INSERT INTO deliveries (id, url, event, body, state, next_attempt_at)
    SELECT gen_random_uuid(), 'https://example.com', 'test', '', state, now() - seconds * interval '1 s'
    FROM (VALUES ('pending', 90), ('pending', -600), ('delivered', 7000), ('failed', 7000)) each (state, seconds)
    """
    sql(deliveries)
    assert read().webhook_seconds == pytest.approx(90, abs=30)


def test_workers_by_role_and_state_and_those_that_fell_silent_are_lost(installed: settings.Settings) -> None:
    seen(state="idle")
    seen(state="working", ago=2 * PRESENCE)
    seen(state="working", ago=3 * PRESENCE + 5)
    seen(state="starting", ago=3_000)
    seen("deliver", state="stopping")
    scraped = Scraped()
    shown = {
        (role, state): scraped.value("workers", role=role, state=state) for role in WorkerRole for state in WorkerState
    }
    assert {each: count for each, count in shown.items() if count} == {
        ("generate", "idle"): 1,
        ("generate", "working"): 1,
        ("generate", "lost"): 2,
        ("deliver", "stopping"): 1,
    }
    assert None not in shown.values(), "a state without workers is 0, so that an alert can compare it"


def test_work_is_counted_by_tenant_only_if_that_is_asked(installed: settings.Settings) -> None:
    submit(["abc"] * 3)
    [tenant] = sql("SELECT tenant_id FROM jobs")
    [work] = sums(by_tenant=True).work
    assert work.tenant_id == tenant[0]
    assert sums().work[0].tenant_id is None
    labels = {**GENERATE, "state": "waiting"}
    assert Scraped(tenants=True).value("items", tenant=str(tenant[0]), **labels) == 3
    assert Scraped().value("items", **labels) == 3


def test_several_scrapes_within_a_second_share_one_answer(
    installed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any, **more: Any) -> Any:
            asked.append(name)
            return real(*arguments, **more)

        return ask

    for name in ("read", "sum_open"):
        monkeypatch.setattr(gauges, name, counted(name, getattr(gauges, name)))
    monkeypatch.setattr("lengthwise.metrics.queue._SHARED_SECONDS", 60.0)
    collector = QueueCollector(database.engine(), tenants=False, presence_seconds=PRESENCE)
    for _ in range(5):
        assert list(collector.collect())
    assert asked == ["read", "sum_open"]


def test_without_a_database_the_scrape_says_so_and_shows_the_rest(
    installed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = database.connect("postgresql://127.0.0.1:9/none", pool_seconds=1)
    registry = CollectorRegistry()
    registry.register(QueueCollector(away, tenants=False, presence_seconds=PRESENCE))
    names = {family.name for family in registry.collect()}
    assert "lengthwise_items" not in names
    assert registry.get_sample_value("lengthwise_ledger_up") == 0
    assert registry.get_sample_value("lengthwise_broker_up") == 1
    away.dispose()


def test_without_a_broker_the_scrape_says_so_and_shows_the_rest(
    installed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENGTHWISE_REDIS_URL", "redis://127.0.0.1:9/0")
    settings.get.cache_clear()
    queue.forget()
    scraped = Scraped()
    assert scraped.value("broker_up") == 0
    assert scraped.value("bells", queue="generate") is None
    assert scraped.value("ledger_up") == 1


def test_bells_that_wait_are_counted(installed: settings.Settings) -> None:
    assert queue.ring(queue.GENERATE, ["pool"], times=3)
    scraped = Scraped()
    assert scraped.value("bells", queue="generate") == 3
    assert scraped.value("bells", queue="deliver") == 0


@pytest.fixture
def unmigrated(installed: settings.Settings) -> Iterator[None]:
    sql("ALTER TABLE tallies RENAME TO hidden")
    yield
    sql("ALTER TABLE hidden RENAME TO tallies")


def test_a_database_that_is_not_migrated_is_no_failure_of_the_scrape(unmigrated: None) -> None:
    assert Scraped().value("ledger_up") == 0
