"""Workers report themselves, on a real database: while they work, when it is away, and until they end or are lost."""

import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy.engine import make_url

from lengthwise import database, settings
from lengthwise.states import WorkerRole, WorkerState
from tests import servers as real
from tests.conftest import forget
from tests.fakes import AwayEngine, WatchedEngine
from tests.faults.proxy import Mode, Proxy
from tests.integration.conftest import EngineInstaller
from tests.integration.webhooks.hooks import status
from tests.integration.webhooks.test_deliver import ended
from tests.integration.webhooks.test_http_attempt import ScriptedReceiver, answering
from tests.integration.workers.reported import report
from tests.ledger import POOL, knobs, sql, state, submit
from tests.servers import wait_until
from tests.workers import sweep
from worker.engine import registry
from worker.engine.protocol import EngineError, Request
from worker.presence import Presence
from worker.process import Worker
from worker.shutdown import Shutdown


@pytest.fixture(autouse=True)
def often(installed: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    knobs(monkeypatch, presence_seconds=0.1)


@contextmanager
def present(presence: Presence, step: Callable[[], float] = lambda: 0.0, **more: Any) -> Iterator[None]:
    presence.begin(step, **more)
    presence.ready()
    try:
        yield
    finally:
        presence.end()


def new_presence() -> Presence:
    return Presence(WorkerRole.GENERATE, Shutdown())


def column(name: str) -> Any:
    """The column of the only row; None if there is none."""
    found = sql(f"SELECT {name} FROM workers")  # noqa: S608 - a name of this file
    assert len(found) <= 1
    return found[0][0] if found else None


def states() -> list[str]:
    return [row[0] for row in sql("SELECT state FROM workers")]


def test_a_process_has_a_row_from_its_start_to_its_end() -> None:
    presence = new_presence()
    presence.name = "generate-1"
    presence.begin(lambda: 0.0)
    wait_until(lambda: states() == ["starting"])
    presence.ready()
    wait_until(lambda: states() == ["idle"])
    assert sql("SELECT role, name, models, last_error FROM workers") == [("generate", "generate-1", [], None)]
    assert sql("SELECT count(*) FROM workers WHERE started_at <= seen_at AND seen_at <= now()") == [(1,)]
    presence.end()
    assert states() == []
    presence.end()  # a second call does nothing


def test_a_presence_that_never_began_ends_at_once() -> None:
    new_presence().end()
    assert states() == []


def test_a_worker_shows_its_models_its_batch_and_what_it_has_done(
    worker: Worker, install_engine: EngineInstaller
) -> None:
    shown: list[Any] = []

    def look(_: Sequence[Request]) -> None:
        wait_until(lambda: column("pool") == POOL)
        shown.extend(sql("SELECT state, model, batch_rows, batch_tokens, stepped_at IS NOT NULL FROM workers"))

    install_engine(lambda spec: WatchedEngine(spec, look))
    with present(worker.generating, lambda: worker.watchdog.step_at):
        job = submit(["abc", "abd", "abe"])
        worker.generate(POOL)
        assert state(job) == "completed"
        wait_until(lambda: column("n_items") == 3 and states() == ["idle"])
        [(models, device, tokens, pool)] = sql("SELECT models, device, n_tokens, pool FROM workers")
    assert shown == [("working", "echo", 3, 9, True)]
    [model] = models
    assert (model["name"], model["state"], model["reason"], model["failed_at"]) == ("echo", "loaded", None, None)
    assert model["load_seconds"] >= 0
    assert model["revision"]
    assert (device, pool) == (model["device"], None)
    assert tokens == 3 * (3 + 3), "input and output of each item"


def test_a_worker_says_for_how_long_it_worked_and_how_fast_it_was_then(
    worker: Worker, install_engine: EngineInstaller
) -> None:
    install_engine(lambda spec: WatchedEngine(spec, lambda _: time.sleep(0.3)))
    with present(worker.generating, busy_seconds=lambda: worker.watchdog.busy_seconds):
        wait_until(lambda: column("busy_seconds") == 0)
        submit(["abc", "abd", "abe"])
        worker.generate(POOL)
        busy = worker.watchdog.busy_seconds
        assert busy >= 0.3
        wait_until(lambda: column("busy_seconds") == busy)
        assert column("items_per_busy_second") == pytest.approx(3 / busy)
        first = column("seen_at")
        wait_until(lambda: column("seen_at") != first)
        assert column("busy_seconds") == busy, "it has been idle"
        assert column("items_per_busy_second") == pytest.approx(3 / busy)


def test_a_process_that_sends_webhooks_does_not_measure_how_long_it_works() -> None:
    with present(Presence(WorkerRole.DELIVER, Shutdown())):
        wait_until(lambda: states() == ["idle"])
        assert sql("SELECT busy_seconds, items_per_busy_second FROM workers") == [(None, None)]


def test_a_model_that_fails_to_load_says_why_until_it_is_loaded(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_load = registry.load
    monkeypatch.setattr(registry, "load", fail)
    with present(worker.generating):
        submit(["abc"])
        worker.generate(POOL)
        wait_until(lambda: column("models"))
        [model] = column("models")
        assert (model["name"], model["state"], model["reason"]) == ("echo", "failed", "its weights do not fit")
        assert "failed_seconds" not in model
        assert sql("SELECT now() - (models->0->>'failed_at')::timestamptz < interval '1 minute' FROM workers") == [
            (True,)
        ]
        monkeypatch.setattr(registry, "load", real_load)
        worker.models._failed_until.clear()
        worker.models.get("echo")
        wait_until(lambda: [model["state"] for model in column("models")] == ["loaded"])
        worker.models.drop("echo")
        wait_until(lambda: column("models") == [])


def fail(_: object) -> None:
    raise EngineError("its weights do not fit")


def test_an_engine_that_pauses_says_for_what_and_until_when(worker: Worker, install_engine: EngineInstaller) -> None:
    install_engine(AwayEngine)
    submit(["abc", "defg"])
    with present(worker.generating):
        worker.generate(POOL)
        wait_until(lambda: column("models") and column("models")[0]["paused_until"])
        [model] = column("models")
        assert (model["state"], model["paused_for"]) == ("loaded", "the server is away")
        assert sql("SELECT (models->0->>'paused_until')::timestamptz > now() FROM workers") == [(True,)]
        wait_until(lambda: column("last_error") == "EngineUnavailable: the server is away")
        assert column("last_error_at") is not None


def test_an_error_of_an_engine_is_shown_without_the_text_that_caused_it(
    worker: Worker, install_engine: EngineInstaller
) -> None:
    def refuse(requests: Sequence[Request]) -> None:
        raise EngineError("the batch failed with RuntimeError")

    install_engine(lambda spec: WatchedEngine(spec, refuse))
    submit(["kanarienvogel"])
    with present(worker.generating):
        worker.generate(POOL)
        wait_until(lambda: column("last_error"))
        assert column("last_error") == "EngineError: the batch failed with RuntimeError"
        assert "kanarienvogel" not in str(sql("SELECT * FROM workers"))


def test_a_delivery_worker_counts_its_attempts(reachable: None) -> None:
    worker = Worker()
    with ScriptedReceiver(answering(status(200))) as receiver:
        ended(receiver.url())
        with present(worker.delivering, worker.deliverer.step_at):
            wait_until(lambda: states() == ["idle"])
            worker.deliver()
            wait_until(lambda: column("n_items") == 1)
            assert (column("role"), column("models"), column("device")) == ("deliver", [], None)
    assert states() == []


def test_a_worker_that_shuts_down_says_so_at_once_and_is_gone_after_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    knobs(monkeypatch, presence_seconds=10, grace_seconds=5)
    shutdown = Shutdown()
    presence = Presence(WorkerRole.GENERATE, shutdown)
    with present(presence):
        wait_until(lambda: states() == ["idle"])
        shutdown.begin()
        wait_until(lambda: states() == ["stopping"])
        wait_until(lambda: states() == [], 30)


def test_a_process_whose_parent_is_frozen_reports_nothing_until_that_is_back() -> None:
    presence, is_deserted = new_presence(), [False]
    with present(presence, is_deserted=lambda: is_deserted[0]):
        wait_until(lambda: states() == ["idle"])
        is_deserted[0] = True
        time.sleep(0.5)  # a report may be under way
        seen_at = column("seen_at")
        time.sleep(1)
        assert column("seen_at") == seen_at
        is_deserted[0] = False
        wait_until(lambda: column("seen_at") > seen_at)


#: Reports itself, and then holds the interpreter for longer than anybody waits.
_HOLDS = """
import re, time
from lengthwise.states import WorkerRole
from worker.presence import Presence
from worker.shutdown import Shutdown

presence = Presence(WorkerRole.GENERATE, Shutdown())
presence.begin(time.monotonic)
presence.ready()
time.sleep(2)
re.match(r"(a|a)*b", "a" * 60)
"""


def test_a_process_in_which_a_library_holds_the_interpreter_is_lost() -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDS]) as process:
        try:
            wait_until(lambda: states() == ["working"])
            wait_until(lambda: sql("SELECT seen_at < now() - interval '3 seconds' FROM workers") == [(True,)], 30)
            assert process.poll() is None
        finally:
            process.kill()


@pytest.fixture
def proxy(installed: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Stands between this process and its database."""
    url = make_url(installed.require_database_url())
    with Proxy(Path(str(url.query["host"])) / f".s.PGSQL.{url.port or 5432}") as made:
        through = url.set(host="127.0.0.1", port=made.port, query={}).render_as_string(hide_password=False)
        monkeypatch.setenv(real.DATABASE_VARIABLE, through)
        forget()
        yield made
        database.shut(database.engine())


@pytest.mark.parametrize("mode", [Mode.STALL, Mode.HALF_OPEN])
def test_an_outage_of_the_database_is_mentioned_once_and_ends_by_itself(
    proxy: Proxy, caplog: pytest.LogCaptureFixture, mode: Mode
) -> None:
    with caplog.at_level(logging.WARNING, "worker.presence"), present(new_presence()):
        wait_until(lambda: states() == ["idle"])
        proxy.switch(mode)
        wait_until(lambda: "does not report itself" in caplog.text, 30)
        time.sleep(1)  # many periods
        assert caplog.text.count("does not report itself") == 1
        proxy.switch(Mode.PASS)
        wait_until(lambda: "reports itself again" in caplog.text, 30)
        seen_at = column("seen_at")
        wait_until(lambda: column("seen_at") > seen_at)


def test_after_a_crash_that_emptied_the_table_the_row_is_as_before() -> None:
    with present(new_presence()):
        wait_until(lambda: states() == ["idle"])
        [before] = sql("SELECT id, started_at FROM workers")
        sql("TRUNCATE workers")
        wait_until(lambda: states() == ["idle"])
        [after] = sql("SELECT id, started_at FROM workers")
    assert after[0] == before[0]
    assert abs((after[1] - before[1]).total_seconds()) < 5


def test_the_table_writes_no_log_of_its_own() -> None:
    assert sql("SELECT relpersistence FROM pg_class WHERE relname = 'workers'") == [("u",)]


def test_reports_and_work_share_a_single_connection(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    knobs(monkeypatch, database_connections=1)
    database.forget()
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
    most = 0
    with psycopg.connect(database_url, autocommit=True) as observer, present(worker.generating):
        for number in range(5):
            job = submit([f"{number} {letter}" for letter in "abc"])
            worker.generate(POOL)
            assert state(job) == "completed"
            found = observer.execute(ours, [database.APPLICATION]).fetchone()
            most = max(most, found[0] if found else 0)
        wait_until(lambda: column("n_items") == 15)
    assert most == 1


def test_the_sweep_forgets_what_was_not_seen_for_an_hour() -> None:
    old, recent = uuid4(), uuid4()
    for each, minutes in ((old, 61), (recent, 59)):
        report(id=each)
        age(each, minutes * 60)
    sweep()
    assert sql("SELECT id FROM workers") == [(recent,)]


def age(worker_id: UUID, seconds: float) -> None:
    sql("UPDATE workers SET seen_at = seen_at - make_interval(secs => :s) WHERE id = :id", s=seconds, id=worker_id)


def test_seconds_become_times_of_the_databases_clock() -> None:
    report(started_seconds=100, stepped_seconds=None, error_seconds=None, state=WorkerState.WORKING)
    [(age_seconds, stepped_at, failed_at)] = sql(
        "SELECT extract(epoch FROM seen_at - started_at)::float8, stepped_at, last_error_at FROM workers"
    )
    assert age_seconds == pytest.approx(100)
    assert (stepped_at, failed_at) == (None, None)


def test_the_reports_name_no_folder_of_this_machine(worker: Worker, catalog: Path) -> None:
    (catalog.parent / "echo" / "tokenizer.json").unlink()
    with present(worker.generating):
        submit(["abc"])
        worker.generate(POOL)
        wait_until(lambda: column("models"))
        [model] = column("models")
    assert model["state"] == "failed"
    assert not re.search(r"/\w+/", model["reason"]), model["reason"]
