"""The room of webhooks: endpoints, deliveries with their attempts, and every act on them."""

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from starlette.testclient import TestClient

from api.page.webhooks import endpoints
from lengthwise.ledger.webhooks import delivery_log
from tests.integration.access import keys
from tests.integration.conftest import RunWorker, submit
from tests.integration.page.test_acts import hidden
from tests.integration.page.test_escaping import CANARIES, require_harmless
from tests.integration.page.test_rooms import require_well_formed
from tests.integration.page.viewer import Shown, Viewer, operator, with_scopes
from tests.integration.webhooks.hooks import PATH, Answers, deliveries, register, shown, status
from tests.integration.webhooks.test_http_attempt import ScriptedReceiver
from tests.ledger import sql

pytestmark = pytest.mark.usefixtures("reachable")
ROOM = "/page/webhooks"
ACTS = ("resend", "test", "replay", "disable", "enable")
SINCE = "2026-01-01T00:00"


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


def send_test(client: TestClient, endpoint: dict[str, Any]) -> str:
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


def asked_and_done(viewer: Viewer, act: str, id: str, **more: str) -> httpx2.Response:  # noqa: A002 - the form's name
    """Answers the question with yes, with the fields that its page has."""
    asked = viewer.post(f"{ROOM}/confirm", data={"act": act, "id": id, **more})
    assert asked.status_code == 200, asked.text
    require_well_formed(asked.text)
    fields = {each["name"]: each["value"] for each in Shown(asked.text).all("input")}
    [yes] = [each["value"] for each in Shown(asked.text).all("button") if each.get("name") == "act"]
    return viewer.post(f"{ROOM}/act", data=fields | {"act": yes})


def test_without_an_endpoint_the_room_says_how_one_is_registered(client: TestClient) -> None:
    assert "lengthwise webhooks create" in Shown(operator(client).get(ROOM).text).text


def test_endpoints_are_listed_with_their_state(client: TestClient, deliver: Callable[[], None]) -> None:
    with ScriptedReceiver(Answers(status(500))) as receiver:
        failing = register(client, receiver.url("/a"), description="failing one")
        send_test(client, failing)
        deliver()
    disabled = register(client, "https://8.8.8.8/b", description="disabled one")
    client.patch(f"{PATH}/{disabled['id']}", json={"enabled": False})
    register(client, "https://8.8.8.8/c", "job.results", description="well one", filter="flagged == true")
    html = operator(client).get(ROOM).text
    text = Shown(html).text
    assert re.search(r"well one https://8\.8\.8\.8/c job\.results enabled job\.results if flagged == true", text), text
    assert re.search(r"disabled one https://8\.8\.8\.8/b job\.\* disabled by its owner", text), text
    assert re.search(r"failing one .* failing since 20\d\d-", text), text
    assert "whsec_" not in html
    require_well_formed(html)


def test_an_endpoint_shows_its_deliveries_and_their_last_answers(
    client: TestClient, endpoint: dict[str, Any], failed: str, deliver: Callable[[], None]
) -> None:
    send_test(client, endpoint)
    deliver()  # answered with 200
    waiting = send_test(client, endpoint)
    html = operator(client).get(f"{ROOM}/{endpoint['id']}").text
    require_well_formed(html)
    rows = re.findall(r"endpoint\.test \d+ s ago, attempts: \d (\w+) (\d) (\d*)", Shown(html).text)
    assert rows[1:] == [("delivered", "1", "200"), ("failed", "1", "503")]
    assert rows[0][:2] == ("pending", "0")
    links = [each["href"] for each in Shown(html).all("a")]
    assert f"{ROOM}/deliveries/{waiting}" in links and f"{ROOM}/deliveries/{failed}" in links


@pytest.mark.parametrize(("state", "n"), [("", 3), ("pending", 1), ("failed", 2), ("delivered", 0)])
def test_deliveries_are_filtered_by_state(client: TestClient, endpoint: dict[str, Any], state: str, n: int) -> None:
    for _ in range(2):
        send_test(client, endpoint)
    give_up()
    send_test(client, endpoint)
    found = Shown(operator(client).get(f"{ROOM}/{endpoint['id']}?state={state}").text)
    assert len([each for each in found.all("button") if each.get("name") == "id"]) == n
    assert [each for each in found.all("option") if "selected" in each] == ([{"selected": None}] if state else [])


def test_a_state_that_is_none_is_refused(client: TestClient, endpoint: dict[str, Any]) -> None:
    answered = operator(client).get(f"{ROOM}/{endpoint['id']}?state=CaNaRy")
    assert answered.status_code == 422
    assert "CaNaRy" not in answered.text


def test_the_list_of_deliveries_pages_and_keeps_its_filter(
    client: TestClient, endpoint: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_MOST_DELIVERIES", 2)
    for _ in range(5):
        send_test(client, endpoint)
    give_up()
    seen: list[str | None] = []
    viewer, path = operator(client), f"{ROOM}/{endpoint['id']}?state=failed"
    while path:
        found = Shown(viewer.get(path).text)
        seen += [each["value"] for each in found.all("button") if each.get("name") == "id"]
        path = next((each["href"] or "" for each in found.all("a") if each.get("rel") == "next"), "")
        assert not path or "state=failed" in path
    assert seen == [each["id"] for each in deliveries(client, endpoint)]


def test_the_list_of_endpoints_pages(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_MOST_ENDPOINTS", 2)
    made = [register(client, f"https://8.8.8.8/{number}")["id"] for number in range(3)]
    viewer = operator(client)
    first = Shown(viewer.get(ROOM).text)
    [older] = [each["href"] for each in first.all("a") if each.get("rel") == "next"]
    rest = Shown(viewer.get(older or "").text)
    assert f"{ROOM}/{made[0]}" in {each["href"] for each in rest.all("a")}
    assert f"{ROOM}/{made[0]}" not in {each["href"] for each in first.all("a")}


def test_a_delivery_shows_each_attempt(client: TestClient, failed: str) -> None:
    html = operator(client).get(f"{ROOM}/deliveries/{failed}").text
    text = Shown(html).text
    require_well_formed(html)
    assert re.search(r"1 20\d\d-[\d -]+:\d\d:\d\d \d+\.\d\d s 503 ok ok", text), text


def test_a_jobs_own_webhook_is_found_from_the_job(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc"], webhook={"url": "https://8.8.8.8/own"})["id"]
    run_worker()
    [link] = [
        each["href"] or ""
        for each in Shown(operator(client).get(f"/page/jobs/{job}").text).all("a")
        if (each["href"] or "").startswith(f"{ROOM}/deliveries/")
    ]
    found = Shown(operator(client).get(link).text)
    assert "https://8.8.8.8/own" in found.text
    assert f"/page/jobs/{job}" in {each["href"] for each in found.all("a")}
    reader = Shown(with_scopes(client, "read").get(f"/page/jobs/{job}").text)
    assert link not in {each["href"] for each in reader.all("a")}
    keeper = Shown(with_scopes(client, "webhooks").get(link).text)
    assert job in keeper.text and f"/page/jobs/{job}" not in {each["href"] for each in keeper.all("a")}


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


def test_another_tenants_pages_are_a_404(client: TestClient, endpoint: dict[str, Any], failed: str) -> None:
    stranger = with_scopes(client, "webhooks", tenant=keys.new_tenant(client))
    assert "reviews" not in stranger.get(ROOM).text
    for path in (f"{ROOM}/{endpoint['id']}", f"{ROOM}/deliveries/{failed}", f"{ROOM}?after={endpoint['id']}"):
        assert stranger.get(path).status_code == 404, path


@pytest.mark.parametrize("act", ACTS)
def test_only_a_key_for_webhooks_acts(client: TestClient, endpoint: dict[str, Any], failed: str, act: str) -> None:
    fields = {"act": act, "id": failed if act == "resend" else endpoint["id"], "since": SINCE}
    for path in ("confirm", "act"):
        assert with_scopes(client, "read", "submit").post(f"{ROOM}/{path}", data=fields).status_code == 403
    assert [each["state"] for each in deliveries(client, endpoint)] == ["failed"]
    assert with_scopes(client, "webhooks").post(f"{ROOM}/act", data=fields).status_code in (200, 303)


@pytest.mark.parametrize("canary", CANARIES)
def test_what_owners_and_receivers_wrote_is_text(client: TestClient, canary: str) -> None:
    made = register(client, "https://8.8.8.8/a", description=canary.replace("\r\n", " "))
    sent = send_test(client, made)
    give_up()
    sql("UPDATE webhook_endpoints SET filter = :text, url = :text", text=canary)
    sql("UPDATE deliveries SET url = :text, event = :text", text=canary)
    sql(
        "INSERT INTO attempts (delivery_id, n, started_at, seconds, status, error, response)"
        " VALUES (:id, 1, now(), 1, 503, :text, :text)",
        id=UUID(sent),
        text=canary,
    )
    viewer = operator(client)
    for path in (ROOM, f"{ROOM}/{made['id']}", f"{ROOM}/deliveries/{sent}"):
        answered = viewer.get(path)
        assert answered.status_code == 200
        require_harmless(answered.text, canary)
        assert " ".join(canary.split()) in Shown(answered.text).text, path
    for act, found in (("resend", sent), ("disable", made["id"])):
        answered = viewer.post(f"{ROOM}/confirm", data={"act": act, "id": found})
        assert answered.status_code == 200
        require_harmless(answered.text, canary)
    for name in ("state", "after"):
        answered = viewer.get(f"{ROOM}/{made['id']}", params={name: canary})
        assert answered.status_code in (404, 422)
        require_harmless(answered.text, canary)
