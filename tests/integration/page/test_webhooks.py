"""The room of webhooks: who sees which endpoints and deliveries, and what is said of them."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.page.webhooks import endpoints
from tests.integration.access import keys
from tests.integration.conftest import RunWorker, submit
from tests.integration.page.receiving import ROOM, endpoint, failed, give_up, receiver, script, send_test
from tests.integration.page.test_escaping import CANARIES, require_harmless
from tests.integration.page.test_rooms import require_well_formed
from tests.integration.page.viewer import Shown, operator, with_scopes
from tests.integration.webhooks.hooks import PATH, Answers, deliveries, register, status
from tests.integration.webhooks.test_http_attempt import ScriptedReceiver
from tests.ledger import sql

__all__ = ["endpoint", "failed", "receiver", "script"]

pytestmark = pytest.mark.usefixtures("reachable")


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
    rows = re.findall(
        r"endpoint\.test \d+ s ago, attempts: \d(?:, last answer: \d+)? (\w+) (\d) (\d*)", Shown(html).text
    )
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


def test_another_tenants_pages_are_a_404(client: TestClient, endpoint: dict[str, Any], failed: str) -> None:
    stranger = with_scopes(client, "webhooks", tenant=keys.new_tenant(client))
    assert "reviews" not in stranger.get(ROOM).text
    for path in (f"{ROOM}/{endpoint['id']}", f"{ROOM}/deliveries/{failed}", f"{ROOM}?after={endpoint['id']}"):
        assert stranger.get(path).status_code == 404, path


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
