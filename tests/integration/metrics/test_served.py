"""Processes serve what they count, and workers say how they are."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from lengthwise import settings
from tests import caller
from tests.conftest import forget
from tests.ledger import knobs, submit
from tests.servers import free_port, wait_until
from worker.health import WorkerHealth
from worker.process import Worker
from worker.shutdown import Shutdown
from worker.upkeep.sweep import Sweeper


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_api_serves_its_metrics_beside_itself(
    catalog: Path, installed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    knobs(monkeypatch, metrics_port=port)
    with caller.calling(create_app()) as client:
        wait_until(lambda: is_open(port))
        assert client.get("/metrics").status_code == 404, "the public port has none"
        client.get("/healthz")
        shown = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    assert 'lengthwise_http_requests_total{method="GET",route="/healthz",status="200"} ' in shown
    assert "lengthwise_ledger_up 1.0\n" in shown
    assert 'lengthwise_database_connections{state="used"} ' in shown
    wait_until(lambda: not is_open(port))


def test_the_api_answers_an_autoscaler_there_and_not_on_its_public_port(
    catalog: Path, installed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    knobs(monkeypatch, metrics_port=port, scaling_tokens_per_second=1, scaling_max_workers=7)
    with caller.calling(create_app()) as client:
        wait_until(lambda: is_open(port))
        assert client.get("/scaling").status_code == 404
        asked = f"http://127.0.0.1:{port}/scaling"
        submit(["abcd"] * 5_000, pool="echo:test")
        found = httpx.get(asked, timeout=30)
        assert found.headers["Content-Type"] == "application/json"
        assert (found.status_code, found.json()["desired"], found.json()["waiting_tokens"]) == (200, 7, 20_000)
        for query, status, desired in (("model=other", 200, 0), ("model=echo&device=cuda", 200, 7), ("x=y", 400, None)):
            found = httpx.get(f"{asked}?{query}", timeout=30)
            assert (found.status_code, found.json().get("desired")) == (status, desired), query


def test_a_delivery_worker_serves_its_metrics_and_its_health(
    installed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    knobs(monkeypatch, metrics_port=port)
    worker = Worker()
    worker.begin_delivery()
    try:
        wait_until(lambda: is_open(port))
        url = f"http://127.0.0.1:{port}"
        assert "\nlengthwise_leases_expired_total " in httpx.get(f"{url}/metrics", timeout=30).text
        assert httpx.get(f"{url}/healthz", timeout=30).json() == {"status": "ok", "reasons": []}
        assert httpx.get(f"{url}/readyz", timeout=30).status_code == 200
    finally:
        worker.shutdown.begin()
        assert worker.metrics is not None
        worker.metrics.stop()


def test_a_worker_is_ready_once_its_models_are_loaded_and_postgres_answers(
    installed: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.health._SHARED_SECONDS", 0.0)
    health = WorkerHealth(lambda: False, is_prepared=False)
    assert health.unready() == ["the first models are being loaded"]
    assert health.hung() == []
    health.is_prepared = True
    assert health.unready() == []
    monkeypatch.setattr("worker.health.schema.incomplete_tables", lambda _: ["jobs"])
    assert health.unready() == ["the database is not migrated"]


def test_a_worker_whose_steps_stand_still_is_neither_healthy_nor_ready(installed: settings.Settings) -> None:
    health = WorkerHealth(lambda: True)
    assert health.hung() == ["no step of its work has ended for too long"]
    assert health.unready() == health.hung()


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    forget()
    knobs(monkeypatch, database_url="postgresql://127.0.0.1:9/none")
    yield
    forget()


def test_a_worker_without_its_database_is_healthy_and_not_ready(away: None) -> None:
    health = WorkerHealth(lambda: False)
    assert health.hung() == []
    assert health.unready() == ["the database does not answer"]


def test_a_sweep_that_hangs_is_noticed(installed: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    shutdown = Shutdown()
    sweeper = Sweeper(shutdown)
    assert not sweeper.is_stuck(), "it has not begun"
    knobs(monkeypatch, hang_seconds=0.3, sweep_seconds=0.05)
    monkeypatch.setattr(sweeper, "sweep", lambda: time.sleep(2))
    sweeper.start()
    assert not sweeper.is_stuck()
    wait_until(sweeper.is_stuck)
    shutdown.begin()
