"""The list of files: which there are, each as it is by itself, and how many statements a list takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests.ledger import sql
from tests.openai.calls import chat_line, created, jsonl, run, uploaded, validated
from tests.openai.conftest import RunWorker

LINES = jsonl([chat_line(f"line-{number}", "text") for number in range(3)])
LONG = chat_line("long", "x" * 600)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements about files and batches that are sent to Postgres."""
    sent: list[str] = []

    def noting(run: Any) -> Any:
        def noted(cursor: Any, query: Any, *given: Any, **more: Any) -> Any:
            if "batches" in str(query) or "files" in str(query):
                sent.append(str(query))
            return run(cursor, query, *given, **more)

        return noted

    monkeypatch.setattr(psycopg.Cursor, "execute", noting(psycopg.Cursor.execute))
    monkeypatch.setattr(psycopg.Cursor, "stream", noting(psycopg.Cursor.stream))
    yield sent


@contextmanager
def at_most(limit: int, sent: list[str]) -> Iterator[None]:
    del sent[:]
    yield
    assert 0 < len(sent) <= limit, sent


def many_batches(sdk: OpenAI, run_worker: RunWorker) -> None:
    """Ended, running and cancelled batches, and those of which some lines failed."""
    for _ in range(3):
        run(sdk, LINES + jsonl([LONG]), run_worker)
    for _ in range(3):
        cancelled = validated(sdk, created(sdk, LINES))
        sdk.batches.cancel(cancelled.id)
    validated(sdk, created(sdk, LINES))


def test_a_list_is_one_statement_however_many_files_there_are(
    sdk: OpenAI, run_worker: RunWorker, statements: list[str]
) -> None:
    many_batches(sdk, run_worker)
    with at_most(3, statements):  # the list, then the lines of all items that never ran, which are counted once
        files = sdk.files.list().data
    assert len([file for file in files if file.purpose == "batch_output"]) >= 6
    queries: list[dict[str, Any]] = [{}, {"purpose": "batch"}, {"purpose": "batch_output"}]
    for query in queries:
        with at_most(1, statements):
            assert len(sdk.files.list(**query).data) >= 6
    with at_most(2, statements):  # the file after which the list begins, and the list
        assert sdk.files.list(after=files[3].id).data == files[4:]
    with at_most(1, statements):
        assert len(sdk.batches.list(limit=100).data) == 7


def test_each_file_is_listed_as_it_is_by_itself(sdk: OpenAI, run_worker: RunWorker) -> None:
    many_batches(sdk, run_worker)
    for file in sdk.files.list().data:
        assert sdk.files.retrieve(file.id) == file
        assert len(sdk.files.content(file.id).read()) == file.bytes


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_any_size_hold_each_file_once(sdk: OpenAI, run_worker: RunWorker, limit: int, order: Any) -> None:
    many_batches(sdk, run_worker)
    sql("UPDATE batches SET created_at = date_trunc('day', created_at)")
    sql("UPDATE files SET created_at = date_trunc('day', created_at)")
    every = [file.id for file in sdk.files.list(order=order)]
    assert [file.id for file in sdk.files.list(order=order, limit=limit)] == every
    assert len(set(every)) == len(every) == 16


@pytest.mark.parametrize("purpose", ["fine-tune", "assistants", "vision", "user_data", "Batch", "batch ", "", "%"])
def test_an_unknown_purpose_lists_nothing(sdk: OpenAI, run_worker: RunWorker, purpose: str) -> None:
    batch = run(sdk, LINES, run_worker)
    assert sdk.files.list(purpose=purpose).data == []
    assert sdk.files.list(purpose=purpose, after=str(batch.output_file_id), order="asc").data == []
    assert len(sdk.files.list().data) == 2


def test_a_file_of_a_batch_expires_when_its_caller_wanted(sdk: OpenAI, run_worker: RunWorker) -> None:
    later: Any = {"anchor": "created_at", "seconds": 3600}
    batch = run(sdk, LINES, run_worker, output_expires_after=later)
    assert batch.completed_at
    [file] = sdk.files.list(purpose="batch_output").data
    assert file.expires_at == batch.completed_at + 3600
    sql("UPDATE jobs SET finished_at = finished_at - interval '1 hour'")
    assert sdk.files.list(purpose="batch_output").data == []
    with pytest.raises(NotFoundError):
        sdk.files.content(file.id)


def test_a_file_of_a_batch_is_gone_after_the_retention_also_before_it_is_removed(
    sdk: OpenAI, run_worker: RunWorker
) -> None:
    batch = run(sdk, LINES, run_worker)
    sql("UPDATE jobs SET finished_at = finished_at - interval '400 days'")
    assert sdk.files.list(purpose="batch_output").data == []
    with pytest.raises(NotFoundError):
        sdk.files.retrieve(str(batch.output_file_id))


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 10_001}, {"order": "newest"}, {"after": "file-x"}])
def test_another_unknown_value_is_refused(sdk: OpenAI, url: str, api_key: str, query: dict[str, Any]) -> None:
    uploaded(sdk, LINES)
    with pytest.raises((BadRequestError, NotFoundError)):
        sdk.files.list(**query)
