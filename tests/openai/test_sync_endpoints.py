"""The synchronous endpoints through the SDK, with a worker in this process or without one."""

import httpx
import pytest
from openai import APIStatusError, BadRequestError, OpenAI

from tests.ledger import knobs, sql
from tests.openai.conftest import RunWorker, served, working
from tests.servers import wait_until


def test_a_chat_is_answered(sdk: OpenAI, run_worker: RunWorker) -> None:
    with working(run_worker):
        answer = sdk.chat.completions.create(
            model="echo",
            messages=[
                {"role": "developer", "content": "ab"},
                {"role": "user", "content": [{"type": "text", "text": "cd"}]},
            ],
            max_completion_tokens=3,
        )
    assert answer.choices[0].message.content == "dcb"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 3)
    assert type(answer).model_validate_json(answer.model_dump_json(), strict=True) == answer
    assert sql("SELECT kind, model, priority, state FROM jobs") == [("chat.completions", "echo", 0, "completed")]


def test_a_completion_and_a_response_are_answered(sdk: OpenAI, run_worker: RunWorker) -> None:
    with working(run_worker):
        completion = sdk.completions.create(model="echo", prompt=["abc", "de"])
        response = sdk.responses.create(model="echo", instructions="ab", input="cd")
    assert [choice.text for choice in completion.choices] == ["cba", "ed"]
    assert type(completion).model_validate_json(completion.model_dump_json(), strict=True) == completion
    assert response.output_text == "dcba"
    assert response.usage
    assert response.usage.total_tokens == 8
    assert (response.status, response.object) == ("completed", "response")


def test_a_request_for_a_stream_is_refused(sdk: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": "x"}], stream=True)
    assert refused.value.param == "stream"
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


def test_a_request_that_is_too_long_is_refused_without_a_job(sdk: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": "x" * 600}])
    assert refused.value.code == "context_length_exceeded"
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


def test_a_chat_without_any_token_is_refused_without_a_job(sdk: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": ""}])
    assert refused.value.code == "empty_prompt"
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


def test_a_request_that_takes_too_long_times_out_and_its_job_is_cancelled(
    catalog: object, installed: object, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, answer_seconds=0.2)
    with served() as url, OpenAI(base_url=f"{url}/v1", api_key=api_key) as sdk:
        with pytest.raises(APIStatusError) as refused:
            sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": "x"}])
        assert (refused.value.status_code, refused.value.code) == (504, "timeout")
    assert sql("SELECT DISTINCT state FROM jobs") == [("cancelled",)]
    assert sql("SELECT count(*) FROM jobs") == [(1,)], "the SDK was told not to send it again"


def test_a_disconnected_request_is_cancelled(url: str, api_key: str) -> None:
    body = {"model": "echo", "messages": [{"role": "user", "content": "x"}]}
    with httpx.Client(timeout=1) as http, pytest.raises(httpx.ReadTimeout):
        http.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {api_key}"})
    wait_until(lambda: sql("SELECT state FROM jobs") == [("cancelled",)], 30)
