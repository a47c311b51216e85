"""Tenants as an operator makes and changes them."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.access import keys
from tests.ledger import DEFAULT


def test_a_change_leaves_what_it_does_not_name(client: TestClient) -> None:
    tenant = keys.new_tenant(client, weight=2, max_open_jobs=5, max_pending_tokens=0)
    path = f"/v1/tenants/{tenant}"
    before = client.get(path).json()
    assert (before["weight"], before["max_open_jobs"], before["max_pending_tokens"]) == (2, 5, 0)
    del before["limits"]
    changed = client.patch(path, json={"max_open_jobs": None, "max_requests_per_minute": 7}).json()
    assert changed == before | {"max_open_jobs": None, "max_requests_per_minute": 7}
    assert client.patch(path, json={}).json() == changed
    assert client.patch(path, json={"name": "shop"}).json() == changed | {"name": "shop"}


def test_two_tenants_cannot_have_the_same_name(client: TestClient) -> None:
    keys.new_tenant(client, "shop")
    assert client.post("/v1/tenants", json={"name": "shop"}).status_code == 409
    assert client.patch(f"/v1/tenants/{DEFAULT}", json={"name": "shop"}).status_code == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "a", "weight": 0}, "weight"),
        ({"name": "a", "weight": "CaNaRy"}, "weight"),
        ({"name": "a", "max_open_jobs": 0}, "max_open_jobs"),
        ({"name": "a", "max_open_jobs": 2**31}, "max_open_jobs"),
        ({"name": "a", "max_pending_tokens": 2**63}, "max_pending_tokens"),
    ],
)
def test_an_invalid_tenant_is_refused_and_the_field_named(client: TestClient, body: dict[str, Any], field: str) -> None:
    answer = client.post("/v1/tenants", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert "CaNaRy" not in answer.text
    assert len(client.get("/v1/tenants").json()["data"]) == 1


def test_a_tenant_cannot_lose_its_name(client: TestClient) -> None:
    answer = client.patch(f"/v1/tenants/{DEFAULT}", json={"name": None})
    assert (answer.status_code, answer.json()["field"]) == (422, "name")


def test_tenants_are_paged_newest_first(client: TestClient) -> None:
    made = [keys.new_tenant(client, f"{number}") for number in range(4)]
    first = client.get("/v1/tenants", params={"limit": 3}).json()
    assert ([tenant["id"] for tenant in first["data"]], first["has_more"]) == (made[:0:-1], True)
    rest = client.get("/v1/tenants", params={"limit": 3, "after": first["data"][-1]["id"]}).json()
    assert ([tenant["id"] for tenant in rest["data"]], rest["has_more"]) == ([made[0], str(DEFAULT)], False)
