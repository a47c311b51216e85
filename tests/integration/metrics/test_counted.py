"""What a worker, the sweep and the API count while they work."""

import base64
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from lengthwise import settings
from lengthwise.metrics import meters
from lengthwise.models.catalog import ModelSpec
from tests import ledger
from tests.fakes import WatchedContinuousEngine
from tests.integration.conftest import EngineInstaller, RunWorker, submit
from worker.process import Worker
from worker.shutdown import Shutdown
from worker.upkeep.sweep import Sweeper


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """New meters, so that nothing of earlier tests is counted."""
    meters.forget()
    yield
    meters.forget()


def value(role: str, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    for each in meters.get().of_role(role):
        registry.register(each)
    return registry.get_sample_value(f"lengthwise_{name}", labels)


SECRET = "whsec_" + base64.b64encode(b"a secret of this test alone").decode()
ITEMS = {"kind": "generate", "model": "echo"}


def test_a_job_is_counted_from_its_claim_to_its_results(client: TestClient, run_worker: RunWorker) -> None:
    submit(client, ["abc", "abcdef"])
    run_worker()
    assert value("generate", "items_total", result="succeeded", code="", **ITEMS) == 2
    [(n_input, n_output)] = ledger.sql("SELECT sum(used_input), sum(used_output) FROM shards")
    assert value("generate", "tokens_total", direction="input") == n_input == 9
    assert value("generate", "tokens_total", direction="output") == n_output > 0
    assert value("generate", "batch_rows_sum", model="echo") == 2
    assert value("generate", "queue_wait_seconds_count", priority="normal") == 1
    assert value("generate", "model_loads_total", model="echo", result="loaded") == 1
    assert value("generate", "deadline_margin_seconds_count") == 0


def test_padding_is_the_share_of_what_the_engine_computes(client: TestClient, run_worker: RunWorker) -> None:
    submit(client, ["a" * 10, "b" * 6])
    run_worker()
    assert value("generate", "padding_ratio_count", model="echo") == 1
    assert value("generate", "padding_ratio_sum", model="echo") == pytest.approx(4 / 20)


def test_a_continuous_batch_counts_once(client: TestClient, worker: Worker, install_engine: EngineInstaller) -> None:
    install_engine(WatchedContinuousEngine)
    submit(client, ["abc"] * 100)
    [(pool,)] = ledger.sql("SELECT DISTINCT pool FROM shards")
    worker.generate(pool)
    assert value("generate", "batch_rows_count", model="echo") == 1
    assert value("generate", "batch_rows_sum", model="echo") == 1  # identical texts are computed once
    assert value("generate", "items_total", result="succeeded", code="", **ITEMS) == 100


def test_a_job_with_a_deadline_says_how_much_time_was_left(client: TestClient, run_worker: RunWorker) -> None:
    submit(client, ["abc"])
    ledger.sql("UPDATE jobs SET deadline_at = now() + interval '10 minutes'")
    run_worker()
    assert value("generate", "deadline_margin_seconds_bucket", le="900.0") == 1
    assert value("generate", "deadline_margin_seconds_bucket", le="300.0") == 0


def test_an_expired_job_is_a_missed_deadline(client: TestClient) -> None:
    submit(client, ["abc"])
    ledger.sql("UPDATE jobs SET deadline_at = now() - interval '1 s'")
    Sweeper(Shutdown()).sweep()
    assert value("deliver", "deadline_margin_seconds_bucket", le="0.0") == 1


def test_expired_leases_and_quarantined_items_are_counted(installed: settings.Settings) -> None:
    ledger.submit(["abc"])
    sweeper = Sweeper(Shutdown())
    for n_expired in (1, 2):
        ledger.must_take()
        ledger.let_leases_run_out()
        sweeper.sweep()
        assert value("deliver", "leases_expired_total") == n_expired
    ledger.must_take()
    ledger.let_leases_run_out()
    sweeper.sweep()
    assert value("deliver", "quarantined_total") == 1
    assert value("deliver", "items_total", result="failed", code="worker_lost", **ITEMS) == 1


def test_results_of_a_lost_lease_are_not_counted(client: TestClient, worker: Worker) -> None:
    submit(client, ["abc"])
    [(pool,)] = ledger.sql("SELECT DISTINCT pool FROM shards")
    with worker.generator.claims(worker.generator.rotation(pool)) as claims:
        prepared = claims.next()
        assert prepared is not None
        ledger.sql("UPDATE shards SET state = 'ready', token = NULL")
        worker.generator.run(prepared, claims)
    assert value("generate", "items_total", result="succeeded", code="", **ITEMS) is None


def test_a_model_that_cannot_be_loaded_is_counted_and_shown_until_it_is(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(spec: ModelSpec) -> None:
        raise ValueError("broken")

    spec = worker.models.spec("echo")
    assert spec is not None
    with monkeypatch.context() as patch:
        patch.setattr("worker.engine.registry.load", broken)
        assert not worker.models.load(spec)
    assert value("generate", "model_loads_total", model="echo", result="failed") == 1
    assert value("generate", "model_failed", model="echo") == 1
    assert worker.models.load(spec)
    assert value("generate", "model_failed", model="echo") is None


def test_a_model_that_no_catalog_names_is_shown_as_missing_until_it_is_forgotten(worker: Worker) -> None:
    ledger.submit(["abc"], pool="elsewhere:test")
    worker.generate("elsewhere:test")
    assert value("generate", "model_failed", model="elsewhere") == 1
    worker.models.forget_failures()
    assert value("generate", "model_failed", model="elsewhere") is None


def test_a_loaded_model_is_shown_until_it_is_dropped(worker: Worker) -> None:
    spec = worker.models.spec("echo")
    assert spec is not None
    assert worker.models.load(spec)
    quantization = worker.models.get("echo").capabilities.quantization
    labels = {"model": "echo", "revision": spec.made_by, "quantization": quantization}
    assert value("generate", "model_info", **labels) == 1
    worker.models.drop("echo")
    assert value("generate", "model_info", **labels) is None


def test_attempts_at_a_webhook_are_counted(
    deliver: Callable[[], None], client: TestClient, run_worker: RunWorker
) -> None:
    submit(client, ["abc"], webhook={"url": "http://127.0.0.1:9/", "secret": SECRET})
    run_worker()
    deliver()
    assert value("deliver", "webhook_attempts_total", result="connect_refused") == 1


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/healthz", {"method": "GET", "route": "/healthz", "status": "200"}),
        ("GET", "/v1/jobs/CaNaRy", {"method": "GET", "route": "/v1/jobs/{job_id}", "status": "404"}),
        ("GET", "/v1/jobs?key=CaNaRy", {"method": "GET", "route": "/v1/jobs", "status": "200"}),
        ("POST", "/v1/jobs", {"method": "POST", "route": "/v1/jobs", "status": "422"}),
        ("DELETE", "/healthz", {"method": "DELETE", "route": "/healthz", "status": "405"}),
        ("PUT", "/v1/jobs/CaNaRy", {"method": "PUT", "route": "/v1/jobs/{job_id}", "status": "405"}),
        ("OPTIONS", "/v1/jobs", {"method": "OPTIONS", "route": "/v1/jobs", "status": "405"}),
        ("CANARY", "/healthz", {"method": "OTHER", "route": "/healthz", "status": "405"}),
        ("GET", "/healthz/", {"method": "GET", "route": "unknown", "status": "404"}),
        ("GET", "/docs", {"method": "GET", "route": "/docs", "status": "200"}),
        ("GET", "/page/assets/CaNaRy", {"method": "GET", "route": "unknown", "status": "404"}),
        ("GET", "/CaNaRy", {"method": "GET", "route": "unknown", "status": "404"}),
        ("GET", "/v1/CaNaRy/x", {"method": "GET", "route": "unknown", "status": "404"}),
        ("CANARY", "/CaNaRy", {"method": "OTHER", "route": "unknown", "status": "404"}),
    ],
)
def test_requests_are_counted_by_their_route_and_never_by_their_path(
    client: TestClient, method: str, path: str, labels: dict[str, str]
) -> None:
    answer = client.request(method, path, json={} if method == "POST" else None)
    assert str(answer.status_code) == labels["status"]
    counted = [
        sample.labels
        for metric in meters.get().of_role("api")
        for family in metric.collect()
        for sample in family.samples
        if sample.name == "lengthwise_http_requests_total"
    ]
    assert counted == [labels]
    assert value("api", "http_request_seconds_count", method=labels["method"], route=labels["route"]) == 1
