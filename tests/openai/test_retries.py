"""If an answer is lost, the unmodified SDK sends the request again, and there is still one batch."""

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from openai import BadRequestError, OpenAI

from tests.ledger import sql
from tests.openai.calls import chat_line, jsonl, uploaded, validated

LINES = jsonl([chat_line("a", "text")])
ASKED: dict[str, Any] = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


class Losing(httpx.BaseTransport):
    """Drops the first answers to requests that create a batch. The server does not notice."""

    def __init__(self, losses: int) -> None:
        self._losses = losses
        self._real = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._real.handle_request(request)
        if request.method == "POST" and request.url.path == "/v1/batches" and self._losses:
            self._losses -= 1
            answer.close()
            raise httpx.ReadError("the answer was lost", request=request)
        return answer

    def close(self) -> None:
        self._real.close()


@pytest.fixture
def losing(url: str, api_key: str) -> Iterator[OpenAI]:
    with (
        httpx.Client(transport=Losing(2)) as http,
        OpenAI(base_url=f"{url}/v1", api_key=api_key, http_client=http) as sdk,
    ):
        yield sdk


def n_batches() -> int:
    found: int = sql("SELECT count(*) FROM batches")[0][0]
    return found


def test_a_batch_whose_answer_was_lost_twice_is_created_once(losing: OpenAI) -> None:
    file = uploaded(losing, LINES)
    batch = losing.batches.create(input_file_id=file.id, **ASKED)
    assert n_batches() == 1
    assert validated(losing, batch).status == "in_progress"


def test_two_separate_requests_make_two_batches(sdk: OpenAI) -> None:
    file = uploaded(sdk, LINES)
    first, second = (sdk.batches.create(input_file_id=file.id, **ASKED) for _ in range(2))
    assert first.id != second.id
    other = sdk.batches.create(
        input_file_id=file.id, **ASKED, metadata={"a": "b"}, extra_headers={"x-stainless-retry-count": "1"}
    )
    assert n_batches() == 3, "another request's retry"
    sql("UPDATE batches SET created_at = created_at - interval '1 hour'")
    sdk.batches.create(input_file_id=file.id, **ASKED, extra_headers={"x-stainless-retry-count": "1"})
    assert n_batches() == 4, "what was made an hour ago is no lost answer's"
    assert other.metadata == {"a": "b"}


def test_requests_with_one_idempotency_key_make_one_batch(sdk: OpenAI) -> None:
    file = uploaded(sdk, LINES)
    named = {"Idempotency-Key": "mine"}
    first, second = (sdk.batches.create(input_file_id=file.id, **ASKED, extra_headers=named) for _ in range(2))
    assert first.id == second.id
    with pytest.raises(BadRequestError):
        sdk.batches.create(input_file_id=file.id, **ASKED, extra_headers=named, metadata={"another": "one"})
    assert n_batches() == 1


def test_after_a_deletion_the_same_key_makes_a_new_batch(sdk: OpenAI) -> None:
    file = uploaded(sdk, LINES)
    named = {"Idempotency-Key": "mine"}
    first = validated(sdk, sdk.batches.create(input_file_id=file.id, **ASKED, extra_headers=named))
    sql("UPDATE jobs SET deleted_at = now()")
    second = sdk.batches.create(input_file_id=file.id, **ASKED, extra_headers=named)
    assert second.id != first.id
    assert [batch.id for batch in sdk.batches.list()] == [second.id]
