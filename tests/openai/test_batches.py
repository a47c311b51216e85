"""Batches through the unmodified SDK, from upload to download."""

from typing import Any

import pytest
from openai import BadRequestError, ConflictError, NotFoundError, OpenAI

from api.openai import validator
from api.openai.identifier import batch_id
from lengthwise import database
from lengthwise.ledger.openai import validation as ledger
from tests.ledger import knobs, sql
from tests.openai.calls import chat_line, checked, conserved, created, jsonl, rows, run, uploaded, validated
from tests.openai.conftest import RunWorker
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("each_store")

LINES = [chat_line(f"line-{number}", f"text {number}") for number in range(5)]
IDS = [line["custom_id"] for line in LINES]


def test_a_batch_runs_from_upload_to_download(sdk: OpenAI, run_worker: RunWorker) -> None:
    made = created(sdk, jsonl(LINES), metadata={"run": "7"})
    assert (made.status, made.metadata, made.completion_window) == ("validating", {"run": "7"}, "24h")
    batch = validated(sdk, made)
    assert (batch.status, batch.model, batch.output_file_id, batch.error_file_id) == ("in_progress", "echo", None, None)
    assert batch.expires_at == batch.created_at + 86_400
    run_worker()
    batch = checked(sdk.batches.retrieve(made.id))
    assert batch.status == "completed"
    assert batch.in_progress_at and batch.finalizing_at and batch.completed_at
    output, errors = conserved(sdk, batch, IDS)
    assert errors == {}
    answers = {name: row["response"]["body"]["choices"][0]["message"]["content"] for name, row in output.items()}
    assert answers == {f"line-{number}": f"text {number}"[::-1] for number in range(5)}
    body = output["line-0"]["response"]["body"]
    assert body["usage"] == {"prompt_tokens": 6, "completion_tokens": 6, "total_tokens": 12}
    assert (body["object"], body["model"]) == ("chat.completion", "echo")


def test_a_file_may_name_several_models_and_each_line_has_its_own_parameters(
    sdk: OpenAI, run_worker: RunWorker
) -> None:
    lines = [
        chat_line("a", "abcdefghijklmn", "echo"),
        chat_line("b", "abcdefghijklmn", "other"),
        chat_line("c", "abcdefghijklmn", "echo", max_tokens=3),
        chat_line("d", "abcdefghijklmn", "echo", stop=["f"]),
        chat_line("e", "abcdefghijklmn", "echo", temperature=1, seed=5),
    ]
    batch = run(sdk, jsonl(lines), run_worker)
    assert batch.model is None
    output, _ = conserved(sdk, batch, ["a", "b", "c", "d", "e"])
    said = {name: row["response"]["body"] for name, row in output.items()}
    assert {name: body["choices"][0]["message"]["content"] for name, body in said.items()} == {
        "a": "nmlkjihgfedcba", "b": "nmlkjihg", "c": "nml", "d": "nmlkjihg", "e": "nmlkjihgfedcba"
    }  # fmt: skip
    assert {name: body["model"] for name, body in said.items()} == dict.fromkeys("acde", "echo") | {"b": "other"}
    assert said["c"]["choices"][0]["finish_reason"] == "length"


def test_every_bad_line_is_named(sdk: OpenAI) -> None:
    good = jsonl([LINES[0]])
    bad = [
        b"{nonsense}",
        jsonl([LINES[0]]).strip(),
        jsonl([LINES[1] | {"url": "/v1/embeddings"}]).strip(),
        jsonl([chat_line("x", "y", "no such model")]).strip(),
        b"",
        jsonl([chat_line("z", "y", n=2)]).strip(),
        jsonl([LINES[2] | {"method": "GET"}]).strip(),
        b"[]",
    ]
    batch = validated(sdk, created(sdk, good + b"\n".join(bad)))
    assert batch.status == "failed"
    assert batch.failed_at
    assert batch.errors and batch.errors.data
    assert [(error.line, error.code, error.param) for error in batch.errors.data] == [
        (2, "invalid_json_line", None),
        (3, "duplicate_custom_id", "custom_id"),
        (4, "url_mismatch", "url"),
        (5, "model_not_found", "model"),
        (7, "invalid_request", "n"),
        (8, "invalid_request", "method"),
        (9, "invalid_request", None),
    ]
    assert "n is supported as 1 alone" in str(batch.errors.data[4].message)
    assert conserved(sdk, batch, []) == ({}, {})


def test_a_batch_of_an_empty_file_fails(sdk: OpenAI) -> None:
    batch = validated(sdk, created(sdk, b"\n \n"))
    assert batch.errors and batch.errors.data
    assert [error.code for error in batch.errors.data] == ["empty_file"]


def test_a_cancelled_batch_has_every_line_accounted_for(sdk: OpenAI, run_worker: RunWorker) -> None:
    batch = validated(sdk, created(sdk, jsonl(LINES)))
    marked = checked(sdk.batches.cancel(batch.id))
    assert marked.status == "cancelling"
    assert marked.cancelling_at
    run_worker()
    batch = checked(sdk.batches.retrieve(batch.id))
    assert batch.status == "cancelled"
    output, errors = conserved(sdk, batch, IDS)
    assert output == {}
    assert {row["error"]["code"] for row in errors.values()} == {"batch_cancelled"}
    assert checked(sdk.batches.cancel(batch.id)).status == "cancelled"


def test_an_ended_batch_cannot_be_cancelled(sdk: OpenAI, run_worker: RunWorker) -> None:
    batch = run(sdk, jsonl(LINES), run_worker)
    with pytest.raises(ConflictError) as refused:
        sdk.batches.cancel(batch.id)
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_request_that_is_too_long_has_its_own_error(sdk: OpenAI, run_worker: RunWorker) -> None:
    batch = run(sdk, jsonl([*LINES, chat_line("long", "x" * 600)]), run_worker)
    output, errors = conserved(sdk, batch, [*IDS, "long"])
    assert errors["long"]["response"]["status_code"] == 400
    assert errors["long"]["response"]["body"]["error"]["code"] == "context_length_exceeded"
    assert set(output) == set(IDS)


def test_a_batch_whose_requests_all_fail_early_completes_with_errors_only(sdk: OpenAI, run_worker: RunWorker) -> None:
    batch = validated(sdk, created(sdk, jsonl([chat_line("long", "x" * 600)])))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    conserved(sdk, batch, ["long"])


def test_an_invalid_batch_request_is_refused_before_a_batch_is_made(sdk: OpenAI) -> None:
    file = uploaded(sdk, jsonl(LINES))
    good: dict[str, Any] = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    for name, value in (
        ("input_file_id", "file-00000000000000000000000000000000"),
        ("input_file_id", "nonsense"),
        ("endpoint", "/v1/nothing"),
        ("completion_window", "1y"),
        ("completion_window", "0h"),
        ("metadata", {str(number): "" for number in range(17)}),
    ):
        with pytest.raises(BadRequestError) as refused:
            sdk.batches.create(**{**good, name: value})
        assert str(refused.value.param).startswith(name)
        assert refused.value.type == "invalid_request_error"
    assert list(sdk.batches.list()) == []


@pytest.mark.parametrize("call", ["retrieve", "cancel"])
def test_an_unknown_batch_is_a_404(sdk: OpenAI, call: str) -> None:
    for name in ("batch_00000000000000000000000000000000", "nonsense"):
        with pytest.raises(NotFoundError):
            getattr(sdk.batches, call)(name)


def test_extensions_are_accepted_beside_openais_own_fields(sdk: OpenAI, run_worker: RunWorker) -> None:
    extra = {"priority": "background", "deduplicate": False, "deadline": "2031-01-31T12:00:00Z"}
    batch = created(sdk, jsonl(LINES), extra_body=extra | {"webhook": {"url": "https://8.8.8.8/hook"}})
    assert batch.model_extra
    assert batch.model_extra["webhook"]["secret"].startswith("whsec_")
    assert validated(sdk, batch).status == "in_progress"


def test_batches_are_listed_over_all_pages(sdk: OpenAI) -> None:
    file = uploaded(sdk, jsonl(LINES))
    asked: dict[str, Any] = {"endpoint": "/v1/chat/completions", "completion_window": "1h"}
    made = [sdk.batches.create(input_file_id=file.id, **asked).id for _ in range(7)]
    assert [batch.id for batch in sdk.batches.list(limit=3)] == made[::-1]
    page = sdk.batches.list(limit=3)
    assert page.has_more is True
    assert sdk.batches.list(limit=7).has_more is False


def test_the_output_can_be_read_while_the_batch_runs(
    sdk: OpenAI, run_worker: RunWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, slice_seconds=1000)
    batch = validated(sdk, created(sdk, jsonl([*LINES, chat_line("other", "abc", "other")])))
    monkeypatch.setattr("worker.generation.pool_rotation.PoolRotation.leave", lambda _: None)
    Worker().generate("echo:1")
    batch = checked(sdk.batches.retrieve(batch.id))
    assert batch.status == "in_progress"
    assert {row["custom_id"] for row in rows(sdk, batch.output_file_id)} == set(IDS)


@pytest.fixture
def large_from_a_hundred(each_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    knobs(monkeypatch, large_job_items=100, chunk_items=64)


@pytest.mark.usefixtures("large_from_a_hundred")
def test_a_batch_is_large_by_the_lines_of_its_file(sdk: OpenAI, run_worker: RunWorker) -> None:
    batches = [
        run(sdk, jsonl([chat_line(f"{number}", "x") for number in range(n_lines)]), run_worker) for n_lines in (99, 100)
    ]
    assert sql("SELECT n_items, store > 0 FROM jobs ORDER BY n_items") == [(99, False), (100, True)]
    for batch, n_lines in zip(batches, (99, 100), strict=True):
        assert sdk.files.content(str(batch.output_file_id)).read().count(b"\n") == n_lines


def test_a_batchs_job_has_its_name_its_tags_and_its_file(sdk: OpenAI) -> None:
    metadata = {"name": "nightly", "tags": "a, two words, b,a", "run": "7"}
    validated(sdk, created(sdk, jsonl(LINES), metadata=metadata))
    assert sql("SELECT name, tags, source_file FROM jobs") == [("nightly", ["a", "b"], "requests.jsonl")]
    validated(sdk, created(sdk, jsonl(LINES), metadata={"name": "x" * 201, "tags": ","}))
    assert sql("SELECT tags FROM jobs WHERE name IS NULL") == [(None,)]


@pytest.mark.parametrize(
    ("attempts", "said"), [(0, "The batch's file is still to be read"), (2, "Reading the batch's file failed")]
)
def test_a_batch_that_validates_says_why_it_has_not_begun(
    sdk: OpenAI, monkeypatch: pytest.MonkeyPatch, attempts: int, said: str
) -> None:
    monkeypatch.setattr(validator, "validate", lambda *_: None)
    batch = created(sdk, jsonl(LINES))
    sql("UPDATE batches SET attempts = :n, not_before = now() + interval '1 minute'", n=attempts)
    progress = sdk.batches.retrieve(batch.id).model_extra["progress"]  # type: ignore[index]
    assert (progress["reason"], progress["message"].startswith(said)) == ("validating", True)
    with database.engine().begin() as connection:
        assert ledger.take(connection, batch_id(batch.id))
        reading = sdk.batches.retrieve(batch.id).model_extra["progress"]  # type: ignore[index]
        assert "is being read" in reading["message"]
    sql("UPDATE batches SET not_before = now(), state = 'cancelled', finished_at = now()")
    assert sdk.batches.retrieve(batch.id).model_extra["progress"] is None  # type: ignore[index]
