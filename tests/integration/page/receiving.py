"""An endpoint whose receiver is away at first, and its deliveries, for tests of the room of webhooks."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from tests.integration.webhooks.hooks import PATH, Answers, register, status
from tests.integration.webhooks.test_http_attempt import ScriptedReceiver
from tests.ledger import sql

ROOM = "/page/webhooks"


@pytest.fixture
def script() -> Answers:
    """A receiver that is away at first."""
    return Answers(status(503), status(200))


@pytest.fixture
def receiver(script: Answers) -> Iterator[ScriptedReceiver]:
    with ScriptedReceiver(script) as made:
        yield made


@pytest.fixture
def endpoint(client: TestClient, receiver: ScriptedReceiver) -> dict[str, Any]:
    return register(client, receiver.url(), description="reviews")


def send_test(client: TestClient | httpx.Client, endpoint: dict[str, Any]) -> str:
    answer = client.post(f"{PATH}/{endpoint['id']}/test")
    assert answer.status_code == 202, answer.text
    made: str = answer.json()["id"]
    return made


def give_up() -> None:
    """All attempts were in vain."""
    sql("UPDATE deliveries SET state = 'failed', finished_at = now() WHERE state = 'pending'")


@pytest.fixture
def failed(client: TestClient, endpoint: dict[str, Any], deliver: Callable[[], None]) -> str:
    """A delivery whose one attempt was answered with 503."""
    made = send_test(client, endpoint)
    deliver()
    give_up()
    return made
