"""Makes keys and tenants for tests, as an operator does."""

from typing import Any
from uuid import UUID

import httpx2
from starlette.testclient import TestClient

from tests.caller import bearer


def new_tenant(client: TestClient, name: str = "stranger", **limits: Any) -> str:
    answer = client.post("/v1/tenants", json={"name": name, **limits})
    assert answer.status_code == 201, answer.text
    tenant_id: str = answer.json()["id"]
    return tenant_id


def new_key(client: TestClient, *scopes: str, **more: Any) -> dict[str, Any]:
    """Creates a key and returns the API's answer, the only one that shows it."""
    answer = client.post("/v1/keys", json={"name": "a key", "scopes": list(scopes), **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    UUID(made["id"])
    return made


def ask(client: TestClient, key: str, method: str = "GET", path: str = "/v1/jobs", **more: Any) -> httpx2.Response:
    """Sends a request with this key."""
    return client.request(method, path, headers=bearer(key), **more)
