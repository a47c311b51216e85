"""Validation in the background: another process takes over abandoned batches, and nothing is half written."""

import threading
from typing import Any
from uuid import UUID

import pytest
from openai import OpenAI

from api.openai import validation
from api.openai.identifier import batch_id
from lengthwise import database
from lengthwise.ledger.openai import file as files
from lengthwise.ledger.openai import validation as ledger
from tests.ledger import knobs, sql
from tests.openai.calls import chat_line, conserved, created, jsonl, run, validated
from tests.openai.conftest import RunWorker, served
from tests.workers import sweep

LINES = [chat_line(f"line-{number}", "text") for number in range(200)]
IDS = [line["custom_id"] for line in LINES]


def written() -> list[int]:
    return [sql(f"SELECT count(*) FROM {table}")[0][0] for table in ("jobs", "shards", "items")]  # noqa: S608


def test_a_batch_that_a_dead_process_left_is_validated_by_another(
    catalog: object, installed: object, api_key: str, monkeypatch: pytest.MonkeyPatch, run_worker: RunWorker
) -> None:
    """The process dies when everything is written but not committed."""

    def dies(*_: object) -> bool:
        raise SystemError("gone")

    with monkeypatch.context() as patch, served() as url:
        patch.setattr(ledger, "accept", dies)
        with OpenAI(base_url=f"{url}/v1", api_key=api_key) as sdk:
            batch = created(sdk, jsonl(LINES))
            while not sql("SELECT 1 FROM batches WHERE attempts = 1"):
                pass
    assert written() == [0, 0, 0]
    sql("UPDATE batches SET not_before = now()")
    with served() as url, OpenAI(base_url=f"{url}/v1", api_key=api_key) as sdk:
        assert validated(sdk, batch).status == "in_progress"
        run_worker()
        conserved(sdk, sdk.batches.retrieve(batch.id), IDS)


def test_a_batch_fails_after_too_many_validation_attempts(sdk: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "_MAX_ATTEMPTS", 0)
    batch = validated(sdk, created(sdk, jsonl(LINES)))
    assert batch.status == "failed"
    assert batch.errors and batch.errors.data
    assert [error.code for error in batch.errors.data] == ["server_error"]


def test_a_batch_that_is_cancelled_during_validation_leaves_nothing(
    sdk: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, is_reading = threading.Event(), threading.Event()
    real = files.read_chunk

    def slow(connection: Any, file_id: UUID, n: int) -> bytes | None:
        is_reading.set()
        may_go_on.wait(30)
        return real(connection, file_id, n)

    monkeypatch.setattr(files, "read_chunk", slow)
    batch = created(sdk, jsonl(LINES))
    assert is_reading.wait(30)
    assert sdk.batches.cancel(batch.id).status == "cancelled"
    may_go_on.set()
    while sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"):
        pass
    assert written() == [0, 0, 0]
    cancelled = sdk.batches.retrieve(batch.id)
    assert (cancelled.status, conserved(sdk, cancelled, [])) == ("cancelled", ({}, {}))


def test_the_sweep_finishes_an_interrupted_cancellation(sdk: OpenAI) -> None:
    batch = validated(sdk, created(sdk, jsonl(LINES)))
    sql("UPDATE batches SET cancelling_at = now() WHERE id = :id", id=batch_id(batch.id))
    assert sdk.batches.retrieve(batch.id).status == "cancelling"
    sweep()
    batch = sdk.batches.retrieve(batch.id)
    assert batch.status == "cancelled"
    conserved(sdk, batch, IDS)


def test_a_batch_whose_window_ends_expires_with_every_line_accounted_for(sdk: OpenAI, run_worker: RunWorker) -> None:
    batch = run(sdk, jsonl(LINES), lambda: None)
    sql("UPDATE jobs SET deadline_at = now()")
    sweep()
    batch = sdk.batches.retrieve(batch.id)
    assert batch.status == "expired"
    assert batch.expired_at
    _, errors = conserved(sdk, batch, IDS)
    assert {row["error"]["code"] for row in errors.values()} == {"batch_expired"}


def test_the_numbers_of_lines_and_of_listed_errors_are_limited(sdk: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "MAX_ERRORS", 3)
    batch = validated(sdk, created(sdk, b"{}\n" * 10))
    assert batch.errors and batch.errors.data
    assert [error.line for error in batch.errors.data] == [1, 2, 3, None]
    assert str(batch.errors.data[3].message).startswith("and 7 more")


def test_a_batch_of_a_file_with_too_many_requests_fails(
    catalog: object, installed: object, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, max_batch_lines=199, max_line_bytes=1000)
    with served() as url, OpenAI(base_url=f"{url}/v1", api_key=api_key) as sdk:
        long = jsonl([chat_line("long", "x" * 1000)])
        batch = validated(sdk, created(sdk, long + jsonl(LINES)))
    assert batch.errors and batch.errors.data
    assert [(error.code, error.line) for error in batch.errors.data] == [
        ("invalid_request", 1),
        ("too_many_tasks", None),
    ]


def test_batches_with_and_without_a_job_are_deleted_after_their_retention(sdk: OpenAI, run_worker: RunWorker) -> None:
    run(sdk, jsonl(LINES), run_worker)
    validated(sdk, created(sdk, b"{}"))
    sql("UPDATE jobs SET finished_at = now() - interval '1 year'")
    sql("UPDATE batches SET finished_at = now() - interval '1 year' WHERE finished_at IS NOT NULL")
    sweep()
    assert list(sdk.batches.list()) == []
    for _ in range(5):
        sweep()
    assert sql("SELECT count(*) FROM batches") == [(0,)]


def test_an_attempt_does_not_count_while_another_process_validates(
    sdk: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "validate", lambda *_: None)
    monkeypatch.setattr("api.openai.validator.validate", lambda *_: None)
    batch = batch_id(created(sdk, jsonl(LINES)).id)
    engine = database.engine()
    with engine.begin() as holding, engine.begin() as other:
        assert ledger.take(holding, batch)
        assert not ledger.begin(other, batch, 10)
    with engine.begin() as connection:
        assert ledger.begin(connection, batch, 10)
    with engine.begin() as connection:
        assert not ledger.begin(connection, batch, 10), "not before the pause is over"
    assert sql("SELECT attempts FROM batches") == [(1,)]
