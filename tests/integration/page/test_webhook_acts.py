"""Every act on webhooks: the page asks first, does what the API does, and says why something was not done."""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from starlette.testclient import TestClient

from lengthwise.ledger.webhooks import delivery_log
from tests.integration.access import keys
from tests.integration.page.receiving import ROOM, endpoint, failed, give_up, receiver, script, send_test
from tests.integration.page.test_acts import hidden
from tests.integration.page.test_rooms import require_well_formed
from tests.integration.page.viewer import Shown, Viewer, operator, with_scopes
from tests.integration.webhooks.hooks import PATH, Answers, deliveries, shown
from tests.ledger import sql

__all__ = ["endpoint", "failed", "receiver", "script"]

pytestmark = pytest.mark.usefixtures("reachable")
ACTS = ("resend", "test", "replay", "disable", "enable")
SINCE = "2026-01-01T00:00"


def asked_and_done(viewer: Viewer, act: str, id: str, **more: str) -> httpx2.Response:  # noqa: A002 - the form's name
    """Answers the question with yes, with the fields that its page has."""
    asked = viewer.post(f"{ROOM}/confirm", data={"act": act, "id": id, **more})
    assert asked.status_code == 200, asked.text
    require_well_formed(asked.text)
    fields = {each["name"]: each["value"] for each in Shown(asked.text).all("input")}
    [yes] = [each["value"] for each in Shown(asked.text).all("button") if each.get("name") == "act"]
    return viewer.post(f"{ROOM}/act", data=fields | {"act": yes})


def test_a_failed_delivery_is_resent_after_a_question(
    client: TestClient,
    endpoint: dict[str, Any],
    failed: str,
    script: Answers,
    deliver: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    viewer = operator(client)
    viewer.post(f"{ROOM}/confirm", data={"act": "resend", "id": failed})
    assert deliveries(client, endpoint)[0]["state"] == "failed", "a question does nothing"
    with caplog.at_level(logging.INFO):
        done = asked_and_done(viewer, "resend", failed)
    assert (done.status_code, done.headers["location"]) == (303, f"{ROOM}/deliveries/{failed}")
    deliver()
    [found] = deliveries(client, endpoint)
    assert (found["state"], [each["status"] for each in found["attempts"]]) == ("delivered", [503, 200])
    assert len({headers["webhook-id"] for headers, _ in script.received}) == 1
    [line] = [record.getMessage() for record in caplog.records if "on the page" in record.getMessage()]
    assert f"did resend with the delivery {failed}" in line


@pytest.mark.parametrize(("only_failed", "n"), [(True, 2), (False, 3)])
def test_an_endpoint_is_replayed(
    client: TestClient, endpoint: dict[str, Any], deliver: Callable[[], None], only_failed: bool, n: int
) -> None:
    for _ in range(2):
        send_test(client, endpoint)
    give_up()
    arrived = send_test(client, endpoint)
    sql("UPDATE deliveries SET state = 'delivered', finished_at = now() WHERE id = :id", id=UUID(arrived))
    more = {"only_failed": "yes"} if only_failed else {}
    done = asked_and_done(operator(client), "replay", endpoint["id"], since=SINCE, **more)
    assert done.status_code == 200
    assert f"{n} webhooks are sent again" in Shown(done.text).text
    require_well_formed(done.text)
    assert [each["state"] for each in deliveries(client, endpoint)].count("pending") == n


def test_the_form_of_a_replay_begins_before_the_first_delivery(
    client: TestClient, endpoint: dict[str, Any], failed: str
) -> None:
    viewer = operator(client)
    fields = Shown(viewer.get(f"{ROOM}/{endpoint['id']}").text).all("input")
    [since] = [each["value"] or "" for each in fields if each.get("name") == "since"]
    done = asked_and_done(viewer, "replay", endpoint["id"], since=since, only_failed="yes")
    assert "1 webhook is sent again" in Shown(done.text).text


@pytest.mark.parametrize("since", ["2999-01-01T00:00", "2999-01-01T00:00:00Z", "2999-01-01T00:00:00.5+02:00"])
def test_a_replay_of_nothing_says_so(client: TestClient, endpoint: dict[str, Any], failed: str, since: str) -> None:
    done = asked_and_done(operator(client), "replay", endpoint["id"], since=since)
    assert "0 webhooks are sent again" in Shown(done.text).text
    assert deliveries(client, endpoint)[0]["state"] == "failed"


def test_a_replay_of_very_many_goes_on_where_it_stopped(
    client: TestClient, endpoint: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        send_test(client, endpoint)
    give_up()
    whole = delivery_log.replay
    monkeypatch.setattr(delivery_log, "replay", lambda *given, **named: whole(*given, **named, limit=2))
    viewer = operator(client)
    first = asked_and_done(viewer, "replay", endpoint["id"], since=SINCE, only_failed="yes")
    assert "2 webhooks are sent again. There are more" in Shown(first.text).text
    [since] = hidden(first.text, "since")
    second = asked_and_done(viewer, "replay", endpoint["id"], since=since, only_failed="yes")
    assert "1 webhook is sent again" in Shown(second.text).text


@pytest.mark.parametrize("since", ["", "yesterday", "2031-01-31", "2031-13-01T00:00", "1767225600", "CaNaRy" * 1000])
def test_a_replay_since_no_time_is_refused(client: TestClient, endpoint: dict[str, Any], since: str) -> None:
    for path in ("confirm", "act"):
        fields = {"act": "replay", "id": endpoint["id"], "since": since}
        refused = operator(client).post(f"{ROOM}/{path}", data=fields)
        assert refused.status_code == 422
        assert "since" in Shown(refused.text).text and "CaNaRy" not in refused.text


def test_an_endpoint_is_disabled_and_enabled_again(client: TestClient, endpoint: dict[str, Any]) -> None:
    viewer, path = operator(client), f"{ROOM}/{endpoint['id']}"
    waiting = send_test(client, endpoint)
    done = asked_and_done(viewer, "disable", endpoint["id"])
    assert (done.status_code, done.headers["location"]) == (303, path)
    assert shown(client, endpoint)["enabled"] is False
    assert client.get(f"/v1/deliveries/{waiting}").json()["state"] == "failed"
    page = Shown(viewer.get(path).text)
    assert "Disabled: by its owner" in page.text
    assert {each["value"] for each in page.all("button") if each.get("name") == "act"} == {"enable"}
    asked_and_done(viewer, "enable", endpoint["id"])
    found = shown(client, endpoint)
    assert found["enabled"] is True
    assert {name: found[name] for name in ("url", "events", "description", "filter")} == {
        name: endpoint[name] for name in ("url", "events", "description", "filter")
    }


def test_a_test_event_leads_to_its_delivery(
    client: TestClient, endpoint: dict[str, Any], script: Answers, deliver: Callable[[], None]
) -> None:
    done = asked_and_done(operator(client), "test", endpoint["id"])
    [found] = deliveries(client, endpoint)
    assert done.headers["location"] == f"{ROOM}/deliveries/{found['id']}"
    assert found["event"] == "endpoint.test"
    deliver()
    assert len(script.received) == 1


@pytest.mark.parametrize("act", ["resend", "test", "replay"])
def test_what_a_disabled_endpoint_does_not_allow_is_said_where_it_was_asked(
    client: TestClient, endpoint: dict[str, Any], failed: str, act: str
) -> None:
    client.patch(f"{PATH}/{endpoint['id']}", json={"enabled": False})
    fields = {"act": act, "id": failed if act == "resend" else endpoint["id"], "since": SINCE}
    refused = operator(client).post(f"{ROOM}/act", data=fields)
    assert refused.status_code == 409
    assert "the endpoint is disabled; enable it first" in Shown(refused.text).text
    require_well_formed(refused.text)
    assert [each["state"] for each in deliveries(client, endpoint)] == ["failed"]


@pytest.mark.parametrize("path", ["confirm", "act"])
@pytest.mark.parametrize("fields", [{}, {"act": "delete"}, {"act": "resend"}, {"act": "test", "id": "CaNaRy"}])
def test_an_act_on_nothing_is_refused(client: TestClient, path: str, fields: dict[str, str]) -> None:
    answered = operator(client).post(f"{ROOM}/{path}", data=fields or {"x": "y"})
    assert answered.status_code in (404, 422)
    assert "CaNaRy" not in answered.text


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("path", ["confirm", "act"])
def test_another_tenants_webhooks_are_a_404(
    client: TestClient, endpoint: dict[str, Any], failed: str, act: str, path: str
) -> None:
    stranger = with_scopes(client, "admin", tenant=keys.new_tenant(client))
    for found in (endpoint["id"], failed, str(uuid4())):
        fields = {"act": act, "id": found, "since": SINCE}
        answered = stranger.post(f"{ROOM}/{path}", data=fields)
        assert answered.status_code == 404
        assert "8.8.8.8" not in answered.text and "reviews" not in answered.text
    assert [each["state"] for each in deliveries(client, endpoint)] == ["failed"]
    assert shown(client, endpoint)["enabled"] is True


@pytest.mark.parametrize("act", ACTS)
def test_only_a_key_for_webhooks_acts(client: TestClient, endpoint: dict[str, Any], failed: str, act: str) -> None:
    fields = {"act": act, "id": failed if act == "resend" else endpoint["id"], "since": SINCE}
    for path in ("confirm", "act"):
        assert with_scopes(client, "read", "submit").post(f"{ROOM}/{path}", data=fields).status_code == 403
    assert [each["state"] for each in deliveries(client, endpoint)] == ["failed"]
    assert with_scopes(client, "webhooks").post(f"{ROOM}/act", data=fields).status_code in (200, 303)
