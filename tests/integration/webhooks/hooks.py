"""Webhook endpoints and receivers, for tests that deliver to loopback."""

import base64
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from typing import Any
from uuid import UUID

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.testclient import TestClient

from tests.integration.webhooks.test_http_attempt import read_request
from tests.ledger import sql

PATH = "/v1/webhook-endpoints"


def status(code: int, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Any\r\n%bContent-Length: 2\r\n\r\nok" % (code, more)


class Answers:
    """A receiver's script: one answer after the other, then the last one again. It keeps the requests."""

    def __init__(self, *answers: bytes, before: Callable[[], None] = lambda: None) -> None:
        self._answers = list(answers)
        self._before = before
        self.received: list[tuple[dict[str, str], bytes]] = []

    def __call__(self, connection: socket) -> None:
        _, headers, body = read_request(connection)
        self.received.append((headers, body))
        self._before()
        connection.sendall(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


def register(client: TestClient | httpx.Client, url: str, *events: str, **more: Any) -> dict[str, Any]:
    """Registers an endpoint and returns the API's answer, with its secret."""
    answer = client.post(PATH, json={"url": url, "events": list(events) or ["job.*"], **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def shown(client: TestClient, endpoint: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{PATH}/{endpoint['id']}").json()
    return found


def deliveries(client: TestClient, endpoint: dict[str, Any], **filters: Any) -> list[dict[str, Any]]:
    """The newest first."""
    answer = client.get(f"{PATH}/{endpoint['id']}/deliveries", params=filters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def make_due() -> None:
    sql("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending'")


def is_signed_by(public_key: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether one of the signatures is by this ed25519 key, in the form of Standard Webhooks."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for signature in headers["webhook-signature"].split():
        version, _, encoded = signature.partition(",")
        if version == "v1a":
            with suppress(InvalidSignature):
                key.verify(base64.b64decode(encoded), content)
                return True
    return False


def id_of(delivery: dict[str, Any]) -> str:
    """The delivery's webhook-id."""
    return f"msg_{UUID(delivery['id']).hex}"
