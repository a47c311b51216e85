"""``lengthwise worker --devices``: one process per device, all working on one job."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lengthwise import queue
from lengthwise.child import Child, Program
from lengthwise.local.program import MODELS_LOADED
from lengthwise.settings import Settings
from tests.engine import tiny
from tests.fakes import write_catalog
from tests.ledger import POOL, knobs, outputs, sql, state, submit
from tests.servers import processes_mentioning, wait_until
from tests.workers import START_SECONDS
from worker.engine.completions import completions

SENT = [f"{number:03d} " + "x" * 50 for number in range(128)]


@pytest.fixture
def workers(installed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """Two ready workers on two "devices" of a machine without GPUs. A batch is a whole shard and takes seconds."""
    knobs(monkeypatch, models=write_catalog(tmp_path, seconds_per_batch=3), linger_seconds=0)
    with running("cpu,cpu", 2, tmp_path) as child:
        yield child


@contextmanager
def running(devices: str, count: int, folder: Path) -> Iterator[Child]:
    """Starts ``lengthwise worker`` and waits until ``count`` workers are ready. At the end it is asked to stop."""
    command = [sys.executable, "-P", "-m", "lengthwise", "worker", "--queues", "generate", "--devices", devices]
    child = Child(Program("workers", command, environment=os.environ), folder / "workers.log")
    child.start()
    try:
        wait_until(lambda: child.output().count(MODELS_LOADED) == count or not child.is_running, START_SECONDS)
        assert child.is_running, child.output()
        yield child
    finally:
        child.ask_to_stop()
        wait_until(lambda: not child.is_running)


def test_two_devices_take_shards_of_one_job(workers: Child, tmp_path: Path) -> None:
    job = submit(SENT)
    queue.ring(queue.GENERATE, [POOL], times=2)
    # During its first batch a worker does not claim ahead, so two tokens mean two workers.
    wait_until(lambda: sql("SELECT count(DISTINCT token) FROM shards WHERE state = 'leased'") == [(2,)])
    assert outputs(job) == {}
    wait_until(lambda: state(job) == "completed")
    assert {index: line["output"]["text"] for index, line in outputs(job).items()} == {
        index: text[::-1] for index, text in enumerate(SENT)
    }
    said = workers.output()
    assert "generate-1-" in said
    assert "generate-2-" in said
    workers.ask_to_stop()
    wait_until(lambda: not workers.is_running)
    assert workers.exit_code() == 0, workers.output()
    assert processes_mentioning(str(tmp_path / "models.toml")) == []


def test_two_devices_share_a_model_between_them(
    installed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write("llama", tmp_path / "llama")
    catalog = tmp_path / "models.toml"
    catalog.write_text('[models.llama]\npath = "llama"\nquantization = "none"\n[models.llama.generate]\n')
    knobs(monkeypatch, models=catalog)
    requests = tiny.requests(max_new_tokens=8)
    with running("cpu+cpu", 1, tmp_path) as worker:
        job = submit(
            [tiny.text(request.tokens) for request in requests], pool="llama:test", params={"max_new_tokens": 8}
        )
        queue.ring(queue.GENERATE, ["llama:test"])
        wait_until(lambda: state(job) == "completed")
        assert "cpu+cpu" in worker.output()
    whole = completions(tiny.load(tmp_path / "llama", "none"), requests)
    expected = {completion.id: tiny.text(completion.tokens) for completion in whole}
    found = {index: line["output"]["text"] for index, line in outputs(job).items()}
    assert [found[index] for index in range(len(requests))] == [expected[request.id] for request in requests]
    wait_until(lambda: processes_mentioning(str(catalog)) == [])
