"""Webhook endpoints over HTTP: registered, shown, changed, rotated, deleted; invalid input is refused."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger.webhooks import delivery_log
from lengthwise.ledger.webhooks import endpoint as ledger
from tests.integration.api.test_bad_webhook import MALFORMED, PRIVATE, SECRETS
from tests.integration.refusal import CANARY, RefusalProbe, refusals
from tests.integration.webhooks.hooks import PATH, register, shown
from tests.ledger import knobs, sql

__all__ = ["refusals"]

URL = "https://8.8.8.8/hook"


def test_an_endpoints_secret_is_shown_once(client: TestClient) -> None:
    made = register(client, URL, "job.completed", "batch.*", description="ours")
    assert made["secret"].startswith("whsec_")
    assert made["public_key"].startswith("whpk_")
    assert (made["url"], made["events"], made["description"]) == (URL, ["job.completed", "batch.*"], "ours")
    assert (made["enabled"], made["filter"], made["disabled_reason"], made["failing_since"]) == (True, None, None, None)
    again = shown(client, made)
    assert again == {name: value for name, value in made.items() if name != "secret"}
    assert client.get(PATH).json() == {"object": "list", "data": [again], "has_more": False}


def test_the_database_holds_neither_the_secret_nor_the_key_in_plain_text(client: TestClient) -> None:
    given = "whsec_" + "A" * 43 + "="
    register(client, URL, secret=given)
    [(secret, key)] = sql("SELECT secret, signing_key FROM webhook_endpoints")
    assert secret.startswith("sealed:")
    assert key.startswith("sealed:")
    assert given.removeprefix("whsec_") not in secret


def test_the_list_is_paged_newest_first(client: TestClient) -> None:
    made = [register(client, f"{URL}/{n}")["id"] for n in range(5)]
    first = client.get(PATH, params={"limit": 3}).json()
    rest = client.get(PATH, params={"limit": 3, "after": first["data"][-1]["id"]}).json()
    assert [each["id"] for each in first["data"] + rest["data"]] == made[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert client.get(PATH, params={"after": str(uuid4())}).status_code == 404


def test_a_change_keeps_the_fields_that_it_leaves_out(client: TestClient) -> None:
    made = register(client, URL, "job.results", filter="flagged == true")
    before = shown(client, made)
    after = client.patch(f"{PATH}/{made['id']}", json={"description": "new", "events": ["job.*"]}).json()
    assert after == before | {"description": "new", "events": ["job.*"]}
    assert client.patch(f"{PATH}/{made['id']}", json={"filter": None}).json()["filter"] is None
    assert client.patch(f"{PATH}/{made['id']}", json={"url": None}).json()["url"] == URL
    disabled = client.patch(f"{PATH}/{made['id']}", json={"enabled": False}).json()
    assert (disabled["enabled"], disabled["disabled_reason"]) == (False, "by its owner")
    enabled = client.patch(f"{PATH}/{made['id']}", json={"enabled": True}).json()
    assert (enabled["enabled"], enabled["disabled_reason"]) == (True, None)


def test_a_deleted_endpoint_is_gone(client: TestClient) -> None:
    made = register(client, URL)
    client.post(f"{PATH}/{made['id']}/test")
    assert client.delete(f"{PATH}/{made['id']}").status_code == 204
    assert client.delete(f"{PATH}/{made['id']}").status_code == 404
    assert client.get(f"{PATH}/{made['id']}").status_code == 404
    assert sql("SELECT count(*) FROM deliveries") == [(0,)]


def test_a_tenants_endpoints_are_limited(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(50):
        register(client, f"{URL}/{n}")
    assert client.post(PATH, json={"url": URL, "events": ["job.*"]}).status_code == 409


def test_another_tenants_endpoint_is_a_404(client: TestClient) -> None:
    made = register(client, URL)
    sent = client.post(f"{PATH}/{made['id']}/test").json()
    mine, stranger = UUID(made["id"]), uuid4()
    acts: list[Any] = [
        lambda connection: ledger.find(connection, mine, stranger),
        lambda connection: ledger.change(connection, mine, stranger, {"is_enabled": False}),
        lambda connection: ledger.rotate(connection, mine, stranger, None, overlap_seconds=1),
        lambda connection: ledger.send_test(connection, mine, stranger),
        lambda connection: ledger.delete(connection, mine, stranger),
        lambda connection: delivery_log.find(connection, UUID(sent["id"]), stranger),
        lambda connection: delivery_log.resend(connection, UUID(sent["id"]), stranger),
    ]
    with database.engine().begin() as connection:
        assert ledger.page(connection, stranger, None, 10) == []
        for act in acts:
            with pytest.raises(NotFound):
                act(connection)
    assert shown(client, made)["enabled"]


@pytest.mark.parametrize("what", ["not-an-id", str(uuid4())], ids=["no id", "an unknown id"])
def test_an_unknown_endpoint_is_a_404(client: TestClient, what: str) -> None:
    asked = [
        client.get(f"{PATH}/{what}"),
        client.patch(f"{PATH}/{what}", json={"enabled": True}),
        client.delete(f"{PATH}/{what}"),
        client.post(f"{PATH}/{what}/rotate"),
        client.post(f"{PATH}/{what}/test"),
        client.get(f"{PATH}/{what}/deliveries"),
        client.post(f"{PATH}/{what}/replay", json={"since": "2026-01-01T00:00:00Z"}),
        client.get(f"/v1/deliveries/{what}"),
        client.post(f"/v1/deliveries/{what}/resend"),
    ]
    assert [answer.status_code for answer in asked] == [404] * len(asked)


def test_without_a_master_key_no_secret_is_accepted(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    knobs(monkeypatch, master_key="")
    assert client.post(PATH, json={"url": URL, "events": ["job.*"]}).status_code == 503
    job = {"kind": "generate", "items": ["x"], "webhook": {"url": URL}}
    assert client.post("/v1/jobs", json=job).status_code == 503
    assert client.post("/v1/jobs", json=job | {"webhook": None}).status_code == 202


def refused(refusals: RefusalProbe, **fields: object) -> tuple[int, str | None]:
    problem = refusals.of("POST", PATH, json={"url": URL, "events": ["job.*"], **fields})
    return problem["status"], problem.get("field")


@pytest.mark.parametrize("host", PRIVATE)
def test_a_host_that_is_not_public_is_refused(refusals: RefusalProbe, host: str) -> None:
    assert refused(refusals, url=f"http://{host}/{CANARY}") == (422, "webhook.url")


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_refused(refusals: RefusalProbe, url: str) -> None:
    assert refused(refusals, url=url)[0] == 422


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_that_cannot_sign_is_refused(refusals: RefusalProbe, secret: str) -> None:
    assert refused(refusals, secret=secret)[0] == 422


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"events": []}, "events"),
        ({"events": ["job.*"] * 30}, "events"),
        ({"events": [CANARY]}, "events"),
        ({"events": ["*"]}, "events"),
        ({"events": "job.*"}, "events"),
        ({"events": [5]}, "events[0]"),
        ({"filter": CANARY}, "filter"),
        ({"filter": f"{CANARY} == {CANARY}"}, "filter"),
        ({"filter": "x" * 600}, "filter"),
        ({"filter": f"flagged == true and {CANARY} == true"}, "filter"),
        ({"filter": f'usage.{CANARY} == "{CANARY}"'}, "filter"),
        ({"description": "x" * 600}, "description"),
        ({"description": "\x00"}, "description"),
        ({"enabled": "yes"}, "enabled"),
        ({CANARY: 1}, "request"),
    ],
)
def test_a_bad_field_is_refused(refusals: RefusalProbe, fields: dict[str, object], field: str) -> None:
    assert refused(refusals, **fields) == (422, field)


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'{"url":"\\ud800"}', 400), (b'{"url":NaN}', 400), (b" " * 70_000, 413)],
)
def test_a_body_that_is_not_a_json_object_is_refused(refusals: RefusalProbe, content: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    assert refusals.of("POST", PATH, content=content, headers=headers)["status"] == status


@pytest.mark.parametrize("since", [CANARY, 5, "2026-01-01", "2026-01-01T00:00:00", None])
def test_a_replay_needs_a_time_with_its_zone(client: TestClient, since: object) -> None:
    path = f"{PATH}/{register(client, URL)['id']}/replay"
    answer = client.post(path, json={"since": since})
    assert (answer.status_code, answer.json()["field"]) == (422, "since")
    assert CANARY not in answer.text
