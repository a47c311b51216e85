"""API keys: which are valid, for how long, and for what."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from api.access import keyring
from api.app import create_app
from lengthwise.key import Scope, new_key
from lengthwise.settings import Settings
from tests.caller import KEY, bearer, calling
from tests.integration.access import keys
from tests.integration.conftest import submit
from tests.ledger import sql
from tests.servers import wait_until


@pytest.fixture
def other(client: TestClient, installed: Settings) -> Iterator[TestClient]:
    """A second API process on the same servers."""
    with calling(create_app()) as made:
        yield made


WRONG = [
    [],
    [("Authorization", "")],
    [("Authorization", "Bearer")],
    [("Authorization", "Bearer ")],
    [("Authorization", "Bearer CaNaRy")],
    [("Authorization", KEY)],
    [("Authorization", f"Basic {KEY}")],
    [("Authorization", f"Bearer {KEY} {KEY}")],
    [("Authorization", f"Bearer {KEY}x")],
    [("Authorization", f"Bearer {KEY[:-1]}")],
    [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")],
    [("Authorization", f"Bearer {new_key().text}")],
    [("Authorization", "Bearer \xff\xfe")],
    [("X-Api-Key", KEY)],
]


def test_every_invalid_key_gets_the_same_answer(client: TestClient) -> None:
    good = keys.new_key(client, "read")
    expired, revoked = keys.new_key(client, "read"), keys.new_key(client, "read")
    sql("UPDATE keys SET expires_at = now() - interval '1 second' WHERE id = :id", id=expired["id"])
    client.post(f"/v1/keys/{revoked['id']}/revoke")
    of_another = good["key"][:36] + revoked["key"][36:]
    more = [[("Authorization", f"Bearer {key}")] for key in (expired["key"], revoked["key"], of_another)]
    answers = []
    for headers in WRONG + more:
        del client.headers["Authorization"]
        answer = client.get("/v1/jobs", headers=[(name.encode(), value.encode("latin-1")) for name, value in headers])
        client.headers.update(bearer())
        assert answer.status_code == 401, headers
        shown = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
        answers.append((answer.content, sorted(shown.items())))
    assert answers == [answers[0]] * len(answers)
    assert dict(answers[0][1])["www-authenticate"] == "Bearer"
    assert b"CaNaRy" not in answers[0][0]
    assert keys.ask(client, good["key"]).status_code == 200


def test_a_key_is_shown_once_and_only_its_hash_is_stored(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = keys.new_key(client, "read", "submit", expires_in_seconds=60)
    secret = made["key"].rpartition("_")[2]
    shown = client.get(f"/v1/keys/{made['id']}").json()
    assert made == shown | {"key": made["key"]}
    assert (shown["name"], shown["scopes"], shown["revoked_at"]) == ("a key", ["read", "submit"], None)
    assert keys.ask(client, made["key"]).status_code == 200
    keys.ask(client, made["key"][:-1])
    for (table,) in sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        held = sql(f"SELECT count(*) FROM {table} WHERE {table}::text LIKE :key", key=f"%{secret}%")  # noqa: S608 - ours
        assert held == [(0,)], table
    assert len(sql("SELECT hash FROM keys")[0][0]) == 32
    assert client.get("/v1/keys").text.count(secret) == 0
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not any(secret in record.getMessage() + str(record.exc_info) for record in ours)


@pytest.mark.parametrize("scope", list(Scope))
def test_on_every_route_a_key_may_do_only_what_its_scopes_allow(client: TestClient, scope: str) -> None:
    """The OpenAPI document states each route's scope. It is generated from the dependency that checks the scope."""
    key = keys.new_key(client, scope)["key"]
    paths = client.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            if not operation.get("security"):
                continue
            (wanted,) = operation["security"][0]["key"]
            answer = keys.ask(client, key, method, re.sub(r"{\w+(:path)?}", f"{uuid4()}", path))
            is_allowed = scope in (wanted, "admin")
            assert (answer.status_code == 403) is not is_allowed, (method, path, answer.text)
            assert answer.status_code != 401
            assert is_allowed or "this API key may not do this" in answer.text


SCOPES = {"get /v1/jobs": "read", "post /v1/jobs": "submit", "delete /v1/jobs/{job_id}": "submit",
          "post /v1/models/reload": "admin", "get /v1/models": "read", "get /v1/keys": "admin",
          "post /v1/tenants": "admin", "get /v1/workers": "admin", "get /v1/limits": "read"}  # fmt: skip


def test_each_route_requires_its_documented_scope(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    found: dict[str, Any] = {
        name: paths[name.split()[1]][name.split()[0]]["security"] for name in SCOPES
    }  # fmt: skip
    assert found == {name: [{"key": [scope]}] for name, scope in SCOPES.items()}


def test_health_and_the_documentation_need_no_key(client: TestClient) -> None:
    del client.headers["Authorization"]
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        assert client.get(path).status_code == 200


def test_a_revoked_key_is_refused_within_a_second_in_every_process(client: TestClient, other: TestClient) -> None:
    """The bound is on the cache's lifetime: on a busy machine the answer itself may take longer."""
    made = keys.new_key(client, "read")
    for process in (client, other):
        assert keys.ask(process, made["key"]).status_code == 200
    revoked = client.post(f"/v1/keys/{made['id']}/revoke").json()
    assert revoked["revoked_at"] is not None
    for process in (client, other):
        wait_until(lambda process=process: keys.ask(process, made["key"]).status_code == 401, patience=10)
    assert client.post(f"/v1/keys/{made['id']}/revoke").json() == revoked
    assert keyring._CACHE_SECONDS < 1


def test_both_keys_are_valid_during_a_rotations_overlap_and_then_only_the_new_one(client: TestClient) -> None:
    old = keys.new_key(client, "read", expires_in_seconds=1000)
    new = client.post(f"/v1/keys/{old['id']}/rotate", json={"overlap_seconds": 100}).json()
    assert (new["name"], new["scopes"], new["tenant"]) == (old["name"], old["scopes"], old["tenant"])
    for key in (old, new):
        assert keys.ask(client, key["key"]).status_code == 200
    lifetimes = dict(sql("SELECT id::text, round(extract(epoch FROM expires_at - now()))::int FROM keys"))
    assert 90 <= lifetimes[old["id"]] <= 100
    assert 990 <= lifetimes[new["id"]] <= 1000
    sql("UPDATE keys SET expires_at = expires_at - interval '101 seconds'")
    wait_until(lambda: keys.ask(client, old["key"]).status_code == 401, patience=5)
    assert keys.ask(client, new["key"]).status_code == 200
    assert client.post(f"/v1/keys/{old['id']}/rotate").status_code == 409


def test_a_rotation_without_a_body_overlaps_by_a_day_and_does_not_extend_the_old_key(client: TestClient) -> None:
    forever, soon = keys.new_key(client, "read"), keys.new_key(client, "read", expires_in_seconds=100)
    for key in (forever, soon):
        assert client.post(f"/v1/keys/{key['id']}/rotate").status_code == 201
    left = dict(sql("SELECT id::text, extract(epoch FROM expires_at - now())::float8 FROM keys"))
    assert 86_300 < left[forever["id"]] <= 86_400
    assert left[soon["id"]] <= 100


def test_a_key_is_valid_until_it_expires(client: TestClient) -> None:
    made = keys.new_key(client, "read", expires_in_seconds=1)
    wait_until(lambda: keys.ask(client, made["key"]).status_code == 401, patience=5)


def test_keys_are_paged_newest_first(client: TestClient) -> None:
    made = [keys.new_key(client, "read")["id"] for _ in range(5)]
    seen: list[str] = []
    while True:
        page = client.get("/v1/keys", params={"limit": 2, **({"after": seen[-1]} if seen else {})}).json()
        seen += [key["id"] for key in page["data"]]
        if not page["has_more"]:
            break
    assert seen == made[::-1]
    assert client.get("/v1/keys", params={"after": f"{uuid4()}"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["read"]}, "name"),
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "CaNaRy\x00", "scopes": ["read"]}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["CaNaRy"]}, "scopes[0]"),
        ({"name": "a", "scopes": "read"}, "scopes"),
        ({"name": "a", "scopes": ["read"], "expires_in_seconds": 0}, "expires_in_seconds"),
        ({"name": "a", "scopes": ["read"], "expires_in_seconds": 1e999}, "expires_in_seconds"),
        ({"name": "a", "scopes": ["read"], "CaNaRy": 1}, "request"),
    ],
)
def test_an_invalid_new_key_is_refused_and_the_field_named(client: TestClient, body: Any, field: str) -> None:
    content = json.dumps(body).replace("Infinity", "1e999")
    answer = client.post("/v1/keys", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert "CaNaRy" not in answer.text
    assert sql("SELECT count(*) FROM keys") == [(0,)]


def test_a_body_is_not_read_without_a_valid_key(client: TestClient) -> None:
    for path in ("/v1/jobs", "/v1/keys", "/v1/tenants"):
        answer = client.post(path, content=b"{", headers={"Authorization": "Bearer none"})
        assert answer.status_code == 401
    assert submit(client, ["abc"])["counts"]["total"] == 1
