"""Limits on the page: the overview says which are reached, and the room of tenants how much of each is in use."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests import ledger
from tests.integration.access import keys
from tests.integration.access.test_limits import JOB
from tests.integration.api.test_backpressure import measure_again
from tests.integration.conftest import RunWorker
from tests.integration.page.test_escaping import CANARIES, require_harmless
from tests.integration.page.viewer import Shown, Viewer, operator, with_scopes
from tests.integration.workers.reported import deliverer, report
from tests.ledger import DEFAULT, sql

SAID = "1 of 1 open jobs; new jobs are refused until one ends"


def full_tenant(client: TestClient, name: str, **limits: Any) -> str:
    """A tenant whose only job is open, and whose limit of open jobs is one."""
    tenant = keys.new_tenant(client, name, max_open_jobs=1, **limits)
    key = keys.new_key(client, "submit", tenant=tenant)["key"]
    assert keys.ask(client, key, "POST", json=JOB).status_code == 202
    return tenant


def seen(client: TestClient, viewer: Viewer, path: str = "/page") -> str:
    """The text of a page, by figures that are new."""
    measure_again(client)
    answer = viewer.get(path)
    assert answer.status_code == 200, answer.text
    return Shown(answer.text).text


def test_a_tenant_reads_on_the_overview_that_its_limit_is_reached_until_a_job_ends(
    client: TestClient, run_worker: RunWorker
) -> None:
    viewer = with_scopes(client, "read", tenant=full_tenant(client, "shop"))
    assert f"Limit reached: {SAID}" in seen(client, viewer)
    run_worker()
    assert "Limit reached" not in seen(client, viewer)


def test_the_operator_reads_on_the_overview_which_tenant_is_at_a_limit_until_a_job_ends(
    client: TestClient, run_worker: RunWorker
) -> None:
    report()
    deliverer()
    viewer = operator(client)
    assert "All is well: 1 generation worker" in seen(client, viewer)
    tenant = full_tenant(client, "shop")
    text = seen(client, viewer)
    assert f"Limit reached by shop : {SAID}" in text
    assert "All is well" not in text
    assert f"/page/tenants/{tenant}" in {each["href"] for each in Shown(viewer.get("/page").text).all("a")}
    run_worker()
    text = seen(client, viewer)
    assert "Limit reached" not in text and "All is well" in text


def test_a_limit_that_is_reached_stands_beside_what_is_not_well(client: TestClient) -> None:
    full_tenant(client, "shop")
    text = seen(client, operator(client))
    assert "Not well: no generation worker is alive" in text and "Limit reached by shop" in text


def test_nobody_reads_of_the_limits_of_others(client: TestClient) -> None:
    full_tenant(client, "shop")
    for tenant in (str(DEFAULT), keys.new_tenant(client, "other")):
        text = seen(client, with_scopes(client, "read", tenant=tenant))
        assert "Limit reached" not in text and "shop" not in text


def test_the_overview_names_a_few_tenants_and_leads_to_all(client: TestClient) -> None:
    for n in range(5):
        full_tenant(client, f"tenant {n}")
    viewer = operator(client)
    text = seen(client, viewer)
    assert (text.count("Limit reached"), "shows all others" in text) == (5, False)
    full_tenant(client, "tenant 5")
    text = seen(client, viewer)
    assert (text.count("Limit reached"), "shows all others" in text) == (5, True)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_pending_tokens": 2}, "3 of 2 input tokens that wait or run; new jobs are refused until some are done"),
        ({"max_requests_per_minute": 1}, "1 of 1 requests a minute; further ones are refused until the allowance"),
    ],
)
def test_the_overview_says_of_every_limit_on_work_that_it_is_reached(
    client: TestClient, limits: dict[str, int], said: str
) -> None:
    full_tenant(client, "shop", **limits)
    sql("UPDATE tenants SET max_open_jobs = NULL")
    text = seen(client, operator(client))
    assert text.count("Limit reached") == 1
    assert f"Limit reached by shop : {said}" in text


def test_a_tenant_that_was_closed_is_no_news_for_the_operator(client: TestClient) -> None:
    tenant = keys.new_tenant(client, "closed", max_pending_tokens=0)
    assert "Limit reached" not in seen(client, operator(client))
    theirs = seen(client, with_scopes(client, "read", tenant=tenant))
    assert "Limit reached: 0 of 0 input tokens that wait or run; new jobs are refused" in theirs


def test_all_hear_that_all_tenants_together_have_too_much_waiting(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = ledger.new_tenant()
    ledger.submit(["abc"], tenant=full)
    shared = client.app.state.shared.backlog  # type: ignore[attr-defined]
    monkeypatch.setattr(shared, "_settings", shared._settings.model_copy(update={"max_pending_tokens": 3}))
    for viewer in (operator(client), with_scopes(client, "read", tenant=keys.new_tenant(client, "idle"))):
        assert "Limit reached: all tenants together have 3 or more input tokens waiting" in seen(client, viewer)


def test_the_room_of_tenants_shows_how_much_of_each_limit_is_in_use(client: TestClient) -> None:
    tenant = full_tenant(client, "shop", max_pending_tokens=50_000, max_requests_per_minute=2)
    viewer = operator(client)
    listed, shown = seen(client, viewer, "/page/tenants"), seen(client, viewer, f"/page/tenants/{tenant}")
    for text, tokens in ((listed, "3 of 50k"), (shown, "3 of 50,000")):
        for said in (tokens, "1 of 2", "1 of 1", "0 of 50 (settings)"):
            assert said in text, said
    assert "0, no limit" in listed, "the first tenant has none of open jobs"
    assert f"Limit reached: {SAID}" in shown
    assert "Limit reached" not in seen(client, viewer, f"/page/tenants/{DEFAULT}")


@pytest.mark.parametrize("canary", CANARIES)
def test_the_name_of_a_tenant_at_its_limit_is_text(client: TestClient, canary: str) -> None:
    full_tenant(client, canary)
    measure_again(client)
    answered = operator(client).get("/page")
    require_harmless(answered.text, canary)
    text = Shown(answered.text).text
    assert " ".join(canary.split()) in text and SAID in text
