"""Another tenant's things are invisible, on every route in the OpenAPI document."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration import route_examples
from tests.integration.access import keys
from tests.integration.conftest import RunWorker
from tests.ledger import DEFAULT

#: Models belong to no tenant.
SHARED = {"get /v1/models/{name}"}

#: Query parameters that name something of a tenant.
NAMING = ("after", "tenant")


@pytest.fixture
def strangers_key(client: TestClient) -> str:
    """An admin key of another tenant."""
    key: str = keys.new_key(client, "admin", tenant=keys.new_tenant(client))["key"]
    return key


@pytest.fixture
def ids(client: TestClient, run_worker: RunWorker) -> dict[str, str]:
    """An id of our own tenant for each path parameter."""
    found = route_examples.create_ids(client)
    run_worker()
    return found


def routes(client: TestClient) -> dict[str, dict[str, Any]]:
    paths = client.get("/openapi.json").json()["paths"]
    return {f"{method} {path}": found for path, each in paths.items() for method, found in each.items()}


def test_every_route_answers_404_for_another_tenants_id_only(
    client: TestClient, strangers_key: str, ids: dict[str, str]
) -> None:
    named = {route: re.findall(r"{(\w+)", route) for route in routes(client) if route not in SHARED}
    assert {name for names in named.values() for name in names} <= ids.keys(), "a new kind of id needs one of ours here"
    # Routes that end something come last; otherwise later routes would not find it.
    for route in sorted(filter(named.get, named), key=lambda route: (route.startswith("delete"), "revoke" in route)):
        method, path = route.format(**ids).split()
        more = route_examples.BODIES.get(route, {})
        refused = keys.ask(client, strangers_key, method, path, **more)
        assert refused.status_code == 404, route
        answer = refused.json()
        assert answer.get("detail", answer.get("error", {}).get("message", "")).startswith("there is no such "), route
        assert client.request(method, path, **more).status_code != 404, route


def test_no_list_continues_after_another_tenants_id(
    client: TestClient, strangers_key: str, ids: dict[str, str]
) -> None:
    of_path = {
        "/v1/jobs": ids["job_id"],
        "/v1/keys": ids["key_id"],
        "/v1/tenants": ids["tenant_id"],
        "/v1/webhook-endpoints": ids["endpoint_id"],
        "/v1/files": ids["file"],
        "/v1/batches": ids["batch"],
    }
    for route, operation in routes(client).items():
        method, path = route.split()
        for parameter in operation.get("parameters", []):
            name, is_text = parameter["name"], "integer" not in str(parameter["schema"])
            if parameter["in"] == "query" and name in NAMING and is_text and "{" not in path:
                value = ids["tenant_id"] if name == "tenant" else of_path[path]
                assert keys.ask(client, strangers_key, method, path, params={name: value}).status_code == 404, route
                assert client.request(method, path, params={name: value}).status_code == 200, route


def test_a_list_shows_only_the_callers_own_rows(client: TestClient, strangers_key: str, ids: dict[str, str]) -> None:
    theirs = {path: keys.ask(client, strangers_key, path=path).json()["data"] for path in
              ("/v1/jobs", "/v1/keys", "/v1/tenants")}  # fmt: skip
    assert theirs["/v1/jobs"] == []
    assert [key["scopes"] for key in theirs["/v1/keys"]] == [["admin"]]
    assert [tenant["name"] for tenant in theirs["/v1/tenants"]] == ["stranger"]
    assert [key["id"] for key in client.get("/v1/keys").json()["data"]] == [ids["key_id"]]
    tenant = theirs["/v1/tenants"][0]["id"]
    assert client.get("/v1/keys", params={"tenant": tenant}).json()["data"] == theirs["/v1/keys"]
    assert [each["name"] for each in client.get("/v1/tenants").json()["data"]] == ["stranger", "default"]


def test_an_admin_of_another_tenant_manages_its_own_keys_and_no_tenants(client: TestClient, strangers_key: str) -> None:
    made = keys.ask(client, strangers_key, "POST", "/v1/keys", json={"name": "a", "scopes": ["read"]})
    assert made.status_code == 201
    own = made.json()["tenant"]
    assert own != str(DEFAULT)
    assert keys.ask(client, made.json()["key"]).status_code == 200
    for tenant, status in ((own, 201), (str(DEFAULT), 404), ("none", 404)):
        body = {"name": "a", "scopes": ["read"], "tenant": tenant}
        assert keys.ask(client, strangers_key, "POST", "/v1/keys", json=body).status_code == status
    assert keys.ask(client, strangers_key, "POST", "/v1/tenants", json={"name": "b"}).status_code == 403
    limits = {"max_requests_per_minute": 10**6}
    assert keys.ask(client, strangers_key, "PATCH", f"/v1/tenants/{own}", json=limits).status_code == 403
    changed, found = client.patch(f"/v1/tenants/{own}", json=limits).json(), client.get(f"/v1/tenants/{own}").json()
    assert found == changed | limits | {"limits": found["limits"]}


def test_a_job_belongs_to_the_tenant_of_its_key(client: TestClient, strangers_key: str) -> None:
    body = {"kind": "generate", "items": ["abc"]}
    job = keys.ask(client, strangers_key, "POST", "/v1/jobs", json=body).json()
    assert keys.ask(client, strangers_key, path=job["links"]["self"]).status_code == 200
    assert client.get(job["links"]["self"]).status_code == 404
