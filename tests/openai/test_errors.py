"""Every error of these paths has OpenAI's form, errors of the framework included, so that the SDK recognises it."""

import httpx
import pytest
from openai import (
    APIStatusError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    RateLimitError,
)
from sqlalchemy.exc import OperationalError

from api.openai import batches
from lengthwise.errors import Conflict, TooBusy, Unavailable
from tests.ledger import knobs
from tests.openai.calls import uploaded
from tests.openai.conftest import served

CANARY = "CaNaRy"
MESSAGES = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", f"/v1/batches/{CANARY}/{CANARY}", {}, 404),
        ("PUT", "/v1/batches", {}, 405),
        ("GET", "/v1/batches?limit=CaNaRy", {}, 400),
        ("GET", f"/v1/files?after={CANARY}", {}, 404),
        ("GET", f"/v1/files/file-{CANARY}", {}, 404),
        ("POST", "/v1/files", {"json": {CANARY: 1}}, 415),
        ("POST", "/v1/files", {"files": {CANARY: b"x"}}, 400),
        ("POST", "/v1/batches", {"content": f"{{{CANARY}"}, 400),
        ("POST", "/v1/batches", {"json": [CANARY]}, 400),
        ("POST", "/v1/batches", {"json": {CANARY: 1}}, 400),
        ("POST", "/v1/batches", {"json": {"input_file_id": CANARY}}, 400),
        ("POST", "/v1/chat/completions", {"json": {"model": CANARY, "messages": MESSAGES}}, 404),
        ("POST", "/v1/chat/completions", {"json": {"model": "echo", "messages": [{"role": CANARY}]}}, 400),
        ("POST", "/v1/chat/completions", {"json": {"model": "echo", "messages": [{"role": "user", CANARY: 3}]}}, 400),
        ("POST", "/v1/chat/completions", {"json": {"response_format": {"type": CANARY}}}, 400),
        ("POST", "/v1/chat/completions", {"content": b"\xff" + CANARY.encode()}, 400),
        ("GET", "/v1/chat/completions", {}, 405),
        ("GET", f"/v1/models/{CANARY}", {}, 404),
        ("POST", f"/v1/embeddings/{CANARY}", {}, 404),
    ],
)  # fmt: skip
def test_errors_have_openais_form_and_do_not_repeat_the_request(
    url: str, api_key: str, method: str, path: str, more: dict[str, object], status: int
) -> None:
    headers = {"authorization": f"Bearer {api_key}"}
    answer = httpx.request(method, f"{url}{path}", headers=headers, **more)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"].startswith("req_")
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert CANARY.lower() not in answer.text.lower()


def test_native_paths_keep_problem_details_and_every_answer_has_a_request_id(url: str, api_key: str) -> None:
    headers = {"authorization": f"Bearer {api_key}"}
    answer = httpx.get(f"{url}/v1/jobs/nonsense", headers=headers)
    assert answer.headers["content-type"] == "application/problem+json"
    for path in ("/v1/jobs/nonsense", "/healthz", "/nothing"):
        assert httpx.get(f"{url}{path}", headers=headers).headers["x-request-id"]


@pytest.mark.parametrize(
    ("raised", "typed", "retry"),
    [
        (TooBusy("too much waits", retry_after=7), RateLimitError, None),
        (Unavailable("the database is away"), InternalServerError, None),
        (Unavailable("the database is full", full=True), InternalServerError, None),
        (Conflict("not in this state"), ConflictError, "false"),
        (ValueError("CaNaRy"), InternalServerError, None),
        (OperationalError("CaNaRy", {}, Exception("CaNaRy")), InternalServerError, None),
    ],
    ids=["busy", "away", "full", "conflict", "mistake", "database"],
)
def test_the_sdk_raises_its_own_exception_types(
    sdk: OpenAI, monkeypatch: pytest.MonkeyPatch, raised: Exception, typed: type[APIStatusError], retry: str | None
) -> None:
    def fails(*_: object) -> None:
        raise raised

    monkeypatch.setattr(batches, "_wanted", fails)
    file = uploaded(sdk, b"{}\n")
    with pytest.raises(typed) as seen:
        sdk.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert seen.value.type
    assert seen.value.request_id
    assert seen.value.response.headers.get("x-should-retry") == retry
    assert "CaNaRy" not in seen.value.response.text


def test_a_file_over_its_limit_is_refused(
    catalog: object, installed: object, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, max_file_bytes=1000)
    with served() as url, OpenAI(base_url=f"{url}/v1", api_key=api_key, max_retries=0) as sdk:
        for size in (1001, 200_000):
            with pytest.raises(APIStatusError) as refused:
                uploaded(sdk, b"x" * size)
            assert (refused.value.status_code, refused.value.code) == (413, "request_too_large")
        assert uploaded(sdk, b"x" * 1000).bytes == 1000


def test_models_are_listed_and_retrieved(sdk: OpenAI) -> None:
    assert {model.id: model.owned_by for model in sdk.models.list()} == {"echo": "echo", "other": "echo"}
    assert sdk.models.retrieve("echo").created > 1_500_000_000
    with pytest.raises(NotFoundError) as refused:
        sdk.models.retrieve("nothing")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_a_wrong_field_is_named(sdk: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": "x"}], logprobs=True)
    assert refused.value.param == "logprobs"
