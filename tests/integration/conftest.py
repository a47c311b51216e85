"""The API and a worker in this process, with the suite's servers and an echo model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise import database, queue, settings
from lengthwise.ledger.queue import sweep
from lengthwise.models.catalog import ModelSpec
from tests import caller
from tests import servers as real
from tests.conftest import forget
from tests.fakes import WatchedEngine, write_catalog
from worker.engine import registry
from worker.process import Worker

#: Runs every waiting pool until none waits.
RunWorker = Callable[[], None]
Engine = TypeVar("Engine", bound=WatchedEngine)


class EngineInstaller(Protocol):
    """Makes the worker run its model on an engine that the test makes from the model's spec."""

    def __call__(self, make: Callable[[ModelSpec], Engine]) -> Engine: ...


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``models.toml`` with one echo model, which the settings name."""
    path = write_catalog(tmp_path)
    monkeypatch.setenv("LENGTHWISE_MODELS", str(path))
    settings.get.cache_clear()
    return path


@pytest.fixture
def worker(catalog: Path, installed: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker that has loaded nothing yet, and whose bells are not rung."""
    monkeypatch.setattr(queue, "ring", lambda *_: True)
    return Worker()


@pytest.fixture
def install_engine(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> EngineInstaller:
    def install(make: Callable[[ModelSpec], Engine]) -> Engine:
        spec = worker.models.spec("echo")
        assert spec is not None
        engine = make(spec)
        monkeypatch.setattr(registry, "load", lambda _: engine)
        return engine

    return install


@pytest.fixture
def client(catalog: Path, installed: settings.Settings) -> Iterator[TestClient]:
    """The API as a caller sees it: an unexpected error is an answer and is not raised in the test."""
    with caller.calling(create_app(), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def reachable(installed: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Allows webhooks to this machine."""
    monkeypatch.setenv("LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    settings.get.cache_clear()


@pytest.fixture
def deliver(reachable: None) -> Callable[[], None]:
    """The delivery task of a new worker. Several threads may call it."""
    return Worker().deliver


@pytest.fixture
def api_key() -> str:
    """The admin key, which ``client`` sends in its Authorization header."""
    return caller.KEY


@pytest.fixture
def run_worker(catalog: Path, installed: settings.Settings) -> RunWorker:
    worker = Worker()

    def run() -> None:
        while pools := _waiting():
            for pool in pools:
                worker.generate(pool)

    return run


@pytest.fixture(scope="module")
def strict(servers: real.Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One API for a module whose requests are refused, with small limits."""
    limits = {
        "max_json_bytes": 30_000,
        "max_body_bytes": 40_000,
        "max_line_bytes": 5_000,
        "max_items": 100,
        "max_text_characters": 2_000,
        "max_metadata_bytes": 100,
        "chunk_items": 64,
    }
    with serving(servers, tmp_path_factory.mktemp("models"), **limits) as client:
        yield client


@contextmanager
def serving(servers: real.Urls, folder: Path, **knobs: object) -> Iterator[TestClient]:
    """A ``client`` with its own settings, for the duration of the block."""
    with servers.fresh_database() as url, pytest.MonkeyPatch.context() as patch:
        named = {"database_url": url, "redis_url": servers.redis, "models": write_catalog(folder)}
        for name, value in {**named, "master_key": real.MASTER_KEY, **knobs}.items():
            patch.setenv(f"LENGTHWISE_{name.upper()}", str(value))
        forget()
        with caller.calling(create_app(), raise_server_exceptions=False) as client:
            yield client
        forget()


def submit(client: TestClient, items: list[Any], kind: str = "generate", **more: Any) -> dict[str, Any]:
    """Submits a job and returns the API's answer."""
    answer = client.post("/v1/jobs", json={"kind": kind, "items": items, **more})
    assert answer.status_code == 202, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def read_job(client: TestClient, job_id: str) -> dict[str, Any]:
    answer = client.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def _waiting() -> list[str]:
    with database.engine().begin() as connection:
        return [pool.name for pool in sweep.find_waiting_pools(connection)]
