"""Keys on the page: each is shown once, each act asks before it is done and is logged, and the list pages."""

import logging
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from lengthwise.key import INSTALLATION
from tests.integration.access import keys
from tests.integration.page.viewer import Shown, Viewer, operator
from tests.ledger import DEFAULT, sql

#: A form of a new key, with nothing wrong in it.
NEW = {"name": "shop", "scope": ["read", "submit"], "days": "90"}


def made_key(html: str) -> str:
    """The key that an answer shows."""
    [field] = [each for each in Shown(html).all("input") if each.get("id") == "key"]
    assert "readonly" in field
    return field["value"] or ""


def all_keys(client: TestClient, **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/keys", params={"limit": "100", **params}).json()["data"]
    return found


def messages(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    """Our lines with this text: the test's own client logs the addresses that it asks."""
    ours = [record for record in caplog.records if record.name.startswith(("api", "lengthwise"))]
    return [found for record in ours if part in (found := record.getMessage())]


def test_a_key_is_made_and_shown_once(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    viewer = operator(client)
    caplog.set_level(logging.DEBUG)
    answered = viewer.post("/page/keys", data=NEW)
    key = made_key(answered.text)
    assert (answered.status_code, answered.headers["cache-control"]) == (200, "no-store")
    assert keys.ask(client, key).status_code == 200
    [found] = all_keys(client)
    assert (found["name"], found["scopes"]) == ("shop", ["read", "submit"])
    lifetime = datetime.fromisoformat(found["expires_at"]) - datetime.fromisoformat(found["created_at"])
    assert lifetime == timedelta(days=90)
    secret = key.rpartition("_")[2]
    for path in ("/page/keys", f"/page/keys/{found['id']}/rotate", f"/page/keys/{found['id']}/revoke"):
        assert secret not in viewer.get(path).text, path
    assert secret not in "".join(answered.headers.values())
    assert messages(caplog, f"made the key {found['id']}") == [f"the key {INSTALLATION} made the key {found['id']}"]
    assert messages(caplog, secret) == messages(caplog, "shop") == []


def test_without_a_lifetime_a_key_does_not_expire(client: TestClient) -> None:
    answered = operator(client).post("/page/keys", data=NEW | {"days": ""})
    assert answered.status_code == 200
    assert all_keys(client)[0]["expires_at"] is None


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"scope": []}, "scopes"),
        ({"scope": ["read", "root"]}, "scopes"),
        *(({"days": days}, "days") for days in ("x", "0", "-1", "3661", "1.5", "true", "1_0", "[1]", "9" * 5000)),
    ],
)
def test_a_wrong_key_is_refused_with_what_was_typed(client: TestClient, typed: dict[str, Any], field: str) -> None:
    answered = operator(client).post("/page/keys", data={"name": "kept", "scope": ["webhooks"], "days": "7"} | typed)
    assert answered.status_code == 422
    shown = Shown(answered.text)
    assert [each for each in shown.all("div") if each.get("role") == "alert"]
    assert re.search(rf"\b{field}(\[\d\])?: ", shown.text)
    values = {each.get("name"): each.get("value") for each in shown.all("input") if each.get("type") != "checkbox"}
    assert values["name"] == typed.get("name", "kept")
    assert values["days"] == typed.get("days", "7")
    chosen = [each["value"] for each in shown.all("input") if "checked" in each]
    assert chosen == [each for each in typed.get("scope", ["webhooks"]) if each != "root"]
    assert all_keys(client) == []


def test_a_key_is_revoked_after_a_question(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    made = keys.new_key(client, "read")
    viewer = operator(client)
    asked = viewer.get(f"/page/keys/{made['id']}/revoke")
    assert asked.status_code == 200 and "a key" in Shown(asked.text).text
    assert keys.ask(client, made["key"]).status_code == 200
    with caplog.at_level(logging.INFO):
        done = viewer.post(f"/page/keys/{made['id']}/revoke")
    assert (done.status_code, done.headers["location"]) == (303, "/page/keys")
    assert len(messages(caplog, f"revoked the key {made['id']}")) == 1
    time.sleep(0.6)  # a key is cached for half a second
    assert keys.ask(client, made["key"]).status_code == 401
    listed = Shown(viewer.get("/page/keys").text)
    assert "revoked" in listed.text
    assert not [each for each in listed.all("a") if (each["href"] or "").endswith(("/revoke", "/rotate"))]


def test_whoever_revokes_their_own_key_is_signed_out(client: TestClient) -> None:
    made = keys.new_key(client, "admin")
    viewer = Viewer(client, made["key"])
    assert "this session" in Shown(viewer.get("/page/keys").text).text
    assert "will be signed out" in Shown(viewer.get(f"/page/keys/{made['id']}/revoke").text).text
    done = viewer.post(f"/page/keys/{made['id']}/revoke")
    assert (done.status_code, done.headers["location"]) == (303, "/page/sign-in")
    assert "Max-Age=0" in done.headers["set-cookie"]
    time.sleep(0.6)
    assert viewer.get("/page/keys").status_code == 401


def test_a_key_is_rotated_after_a_question(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    old = keys.new_key(client, "read", expires_in_seconds=1000)
    viewer = operator(client)
    asked = Shown(viewer.get(f"/page/keys/{old['id']}/rotate").text)
    assert {"0", "86400"} <= {each["value"] for each in asked.all("option")}
    with caplog.at_level(logging.INFO):
        answered = viewer.post(f"/page/keys/{old['id']}/rotate", data={"overlap_seconds": "60"})
    new = made_key(answered.text)
    assert keys.ask(client, new).status_code == keys.ask(client, old["key"]).status_code == 200
    [latest, first] = all_keys(client)
    assert (latest["name"], latest["scopes"]) == (first["name"], first["scopes"])
    assert datetime.fromisoformat(first["expires_at"]) < datetime.fromisoformat(latest["expires_at"])
    assert len(messages(caplog, f"rotated the key {old['id']}, and so made the key {latest['id']}")) == 1
    assert messages(caplog, new.rpartition("_")[2]) == []


@pytest.mark.parametrize("overlap", ["", "x", "-1", "7776001", "0.5"])
def test_a_wrong_overlap_is_refused(client: TestClient, overlap: str) -> None:
    made = keys.new_key(client, "read")
    answered = operator(client).post(f"/page/keys/{made['id']}/rotate", data={"overlap_seconds": overlap})
    assert answered.status_code == 422
    assert len(all_keys(client)) == 1


def test_a_revoked_key_is_not_rotated(client: TestClient) -> None:
    made = keys.new_key(client, "read")
    client.post(f"/v1/keys/{made['id']}/revoke")
    answered = operator(client).post(f"/page/keys/{made['id']}/rotate", data={"overlap_seconds": "0"})
    assert answered.status_code == 409
    assert "make a new one" in Shown(answered.text).text


def test_the_list_says_when_a_key_was_last_used(client: TestClient) -> None:
    viewer = operator(client)
    used, unused = keys.new_key(client, "read", name="used"), keys.new_key(client, "read", name="unused")
    counted = "INSERT INTO usage (tenant_id, day, key_id, requests) VALUES (:tenant, :day, :key, 1)"
    today = datetime.now(UTC).date()
    for key, days in ((used, 9), (used, 7), (unused, 40)):
        sql(counted, tenant=DEFAULT, day=today - timedelta(days), key=key["id"])
    text = Shown(viewer.get("/page/keys").text).text
    assert f"last used: {today - timedelta(7)};" in text
    assert text.count("last used: not in 30 days;") == 1


def test_the_list_pages_as_that_of_the_api(client: TestClient) -> None:
    for n in range(53):
        keys.new_key(client, "read", name=f"key {n}")
    expected = [each["id"] for each in all_keys(client)]
    viewer = operator(client)
    first = Shown(viewer.get("/page/keys").text)
    [older] = [each["href"] for each in first.all("a") if each.get("rel") == "next"]
    assert older
    rest = Shown(viewer.get(older).text)
    links = [each["href"] or "" for page in (first, rest) for each in page.all("a")]
    assert [link.split("/")[3] for link in links if link.endswith("/revoke")] == expected
    assert not [each for each in rest.all("a") if each.get("rel") == "next"]
