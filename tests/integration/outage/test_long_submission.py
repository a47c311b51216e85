"""A submission computes for longer than half a lease, and a sweep that runs meanwhile leaves it alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic_core import from_json, to_json
from starlette.testclient import TestClient

from api.app import create_app
from api.openai.line_reader import LineReader
from lengthwise import database, settings
from lengthwise.kinds.generate import GenerateKind
from lengthwise.kinds.openai.completions import CompletionsKind
from lengthwise.ledger.jobs import submit as ledger
from lengthwise.ledger.queue import sweep
from tests.caller import calling
from tests.integration.conftest import RunWorker, submit
from tests.ledger import knobs, sql
from tests.servers import wait_until

LEASE_SECONDS = 4.0
#: With 600 items this takes longer than a session may be silent, and a portion of 64 takes a sixth of it.
SECONDS_PER_ITEM = 0.005
N_ITEMS = 600


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    knobs(monkeypatch, lease_seconds=LEASE_SECONDS, heartbeat_seconds=LEASE_SECONDS / 3)


@contextmanager
def sweeping() -> Iterator[list[int]]:
    """Ends frozen sessions again and again. Yields how many each sweep ended."""
    ended: list[int] = []
    over = threading.Event()

    def sweep_all() -> None:
        while not over.wait(0.05):
            with database.engine().begin() as connection:
                ended.append(sweep.end_frozen_sessions(connection, seconds=LEASE_SECONDS / 2))

    thread = threading.Thread(target=sweep_all)
    thread.start()
    try:
        yield ended
    finally:
        over.set()
        thread.join()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting an item's tokens takes its time."""
    for kind in (GenerateKind, CompletionsKind):
        prompts: Any = kind.prompts

        def slowly(
            self: Any, model: Any, params: Any, items: Sequence[Any], attempt: int, prompts: Any = prompts
        ) -> Any:
            time.sleep(SECONDS_PER_ITEM * len(items))
            return prompts(self, model, params, items, attempt)

        monkeypatch.setattr(kind, "prompts", slowly)


def lines(n: int) -> bytes:
    return b'{"kind": "generate"}\n' + b"".join(to_json({"text": f"text {at}"}) + b"\n" for at in range(n))


def table(n: int) -> bytes:
    return b"text,more\n" + b"".join(b"text %d,x\n" % at for at in range(n))


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (to_json({"kind": "generate", "items": ["text"] * N_ITEMS}), {"content-type": "application/json"}),
        (lines(N_ITEMS), {"content-type": "application/x-ndjson"}),
        (table(N_ITEMS), {"content-type": "text/csv", "lengthwise-job": '{"kind": "generate", "text_column": "text"}'}),
    ],
    ids=["json", "ndjson", "csv"],
)
def test_a_job_is_accepted_however_long_its_tokens_are_counted(
    client: TestClient, body: bytes, headers: dict[str, str]
) -> None:
    named = {"idempotency-key": "looked-up-before-the-first-item-is-read"}
    with sweeping() as ended:
        answer = client.post("/v1/jobs", content=body, headers=headers | named)
    assert answer.status_code == 202, answer.text
    assert sql("SELECT count(*) FROM items") == [(N_ITEMS,)]
    assert not any(ended)


def test_a_retry_is_accepted_however_long_its_tokens_are_counted(
    client: TestClient, run_worker: RunWorker, slow: None
) -> None:
    job = submit(client, ["text"] * N_ITEMS)
    sql("UPDATE shards SET state = 'done', n_failed = hi - lo WHERE job_id = :job", job=job["id"])
    sql("INSERT INTO results SELECT job_id, index, 'failed', '{}' FROM items WHERE job_id = :job", job=job["id"])
    sql("UPDATE jobs SET state = 'completed', finished_at = now() WHERE id = :job", job=job["id"])
    with sweeping() as ended:
        answer = client.post(f"/v1/jobs/{job['id']}/retry")
    assert answer.status_code == 202, answer.text
    assert not any(ended)


def batch_of(client: TestClient, n_lines: int, model: str = "echo") -> str:
    request = {"method": "POST", "url": "/v1/completions", "body": {"model": model, "prompt": "text"}}
    content = b"".join(to_json({"custom_id": str(at), **request}) + b"\n" for at in range(n_lines))
    file = client.post("/v1/files", data={"purpose": "batch"}, files={"file": ("batch.jsonl", content)})
    assert file.status_code == 200, file.text
    asked = {"input_file_id": file.json()["id"], "endpoint": "/v1/completions", "completion_window": "24h"}
    made = client.post("/v1/batches", json=asked)
    assert made.status_code == 200, made.text
    found: str = made.json()["id"]
    return found


def state_of_batch(client: TestClient, batch: str) -> str:
    wait_until(lambda: client.get(f"/v1/batches/{batch}").json()["status"] != "validating", 60)
    found: str = client.get(f"/v1/batches/{batch}").json()["status"]
    return found


def test_a_batch_is_validated_however_long_its_tokens_are_counted(client: TestClient, slow: None) -> None:
    with sweeping() as ended:
        assert state_of_batch(client, batch_of(client, N_ITEMS)) == "in_progress"
    assert not any(ended)


def test_a_batch_is_refused_however_long_its_wrong_lines_are_checked(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong lines make no portion that is counted."""
    read = LineReader.read

    def slowly(self: LineReader, raw: bytes) -> Any:
        time.sleep(SECONDS_PER_ITEM)
        return read(self, raw)

    monkeypatch.setattr(LineReader, "read", slowly)
    with sweeping() as ended:
        assert state_of_batch(client, batch_of(client, N_ITEMS, model="unknown")) == "failed"
    assert not any(ended)


#: Submits one job. Counting its tokens takes half a minute.
PROGRAM = """
import asyncio, sys, time
from api.access.auth import DEFAULT
from api.app import create_app
from api.jobs.body_format import BodyDescription, BodyFormat
from api.jobs.routes import _submit
from lengthwise.kinds.generate import GenerateKind

prompts = GenerateKind.prompts
def slowly(*arguments):
    print("counting", flush=True)
    time.sleep(0.3)
    return prompts(*arguments)
GenerateKind.prompts = slowly
with open(sys.argv[1], "rb") as file:
    sent = BodyDescription(BodyFormat.NDJSON, None)
    asyncio.run(_submit(create_app().state.shared, DEFAULT, file, sent, None))
"""


def test_a_stopped_process_is_still_ended(catalog: Path, installed: settings.Settings, tmp_path: Path) -> None:
    (tmp_path / "job").write_bytes(lines(64 * 100))
    environment = {
        **os.environ,
        "LENGTHWISE_LEASE_SECONDS": str(LEASE_SECONDS),
        "LENGTHWISE_HEARTBEAT_SECONDS": str(LEASE_SECONDS / 3),
    }
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "job")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as api:
        try:
            assert api.stdout is not None
            for _ in range(4):
                assert api.stdout.readline() == b"counting\n"
            with sweeping() as ended:
                time.sleep(2 * LEASE_SECONDS)
                assert not any(ended), "it lives"
                api.send_signal(signal.SIGSTOP)
                wait_until(lambda: any(ended), 30)
        finally:
            api.kill()


def test_a_chunk_of_long_items_is_written_in_parts(
    client: TestClient, run_worker: RunWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read by chunks later comes back whole and in order."""
    client.app.state.shared.__dict__["settings"] = settings.get().model_copy(  # type: ignore[attr-defined]
        update={"chunk_items": 64, "chunk_bytes": 2_000}
    )
    texts = [f"{at:03} " + "x" * (at * 37 % 150) for at in range(200)]
    job = submit(client, texts)
    run_worker()
    found = [from_json(line) for line in client.get(job["links"]["results"]).content.splitlines()]
    assert [line["output"]["text"][::-1] for line in found] == texts, "echo reverses its input"
    assert len(found) == 200
    positions = sql("SELECT pos / 64, index / 64 FROM items WHERE job_id = :job", job=job["id"])
    assert all(of_position == of_index for of_position, of_index in positions)
    n_shards = sql("SELECT count(*) FROM shards WHERE job_id = :job", job=job["id"])[0][0]
    assert n_shards > 200 / 16, "a part has few of these texts"


def test_a_submission_that_took_long_waits_for_its_turn(
    catalog: Path, installed: settings.Settings, monkeypatch: pytest.MonkeyPatch, slow: None
) -> None:
    """Another large job of the tenant holds the tenant's lock while its shards are written."""
    monkeypatch.setattr(ledger, "_LONG_SECONDS", 0.5)
    app = create_app(settings.get().model_copy(update={"database_lock_seconds": 0.1}))
    with calling(app) as client, psycopg.connect(installed.require_database_url()) as other:
        other.execute("SELECT FROM tenants FOR NO KEY UPDATE")
        timer = threading.Timer(4.0, other.rollback)
        timer.start()
        took_long = client.post("/v1/jobs", json={"kind": "generate", "items": ["text"] * N_ITEMS})
        timer.join()
        other.execute("SELECT FROM tenants FOR NO KEY UPDATE")
        took_a_moment = client.post("/v1/jobs", json={"kind": "generate", "items": ["text"]})
    assert took_long.status_code == 202, took_long.text
    assert took_a_moment.status_code == 503
