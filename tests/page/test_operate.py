"""Operating in Chromium: workers that are watched, models that are read again, webhooks that are sent again."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from lengthwise.ledger.workers import ReportedModel
from lengthwise.states import WorkerState
from tests.fakes import CATALOG, write_echo_model
from tests.integration.page.receiving import give_up, send_test
from tests.integration.webhooks.hooks import PATH, Answers, register, status
from tests.integration.webhooks.test_http_attempt import ScriptedReceiver
from tests.integration.workers.reported import deliverer, report
from tests.ledger import sql
from tests.page.accessible import follow, require_accessible
from tests.page.conftest import WIDTHS, OpenPage, signed_in
from tests.page.test_page import api

__all__ = ["api"]

pytestmark = pytest.mark.usefixtures("reachable")
LOADED = ReportedModel(name="echo", state="loaded", revision="r1", quantization="int8", memory_bytes=64 * 2**20)
FAILED = ReportedModel(
    name="other", state="failed", reason="its weights do not fit into the memory of the device", failed_seconds=90
)
PAUSED = ReportedModel(name="echo", state="loaded", paused_seconds=600, paused_for="its server is away")


@pytest.fixture
def receiver() -> Iterator[ScriptedReceiver]:
    """It is away at first."""
    with ScriptedReceiver(Answers(status(503), status(200))) as made:
        yield made


def busy_and_lost() -> None:
    """A worker of each role, one with all that can go wrong, and one that is lost."""
    report([LOADED], name="generate-8")
    sql("UPDATE workers SET seen_at = now() - interval '3 minutes'")
    report(
        [PAUSED, FAILED], name="generate-7", host="a-host-with-a-long-name-" * 4, state=WorkerState.WORKING,
        model="echo", pool="echo:1", batch_rows=64, batch_tokens=3968, last_error="EngineError: the batch failed",
        error_seconds=5.0,
    )  # fmt: skip
    deliverer()


def test_workers_are_watched(open_page: OpenPage, api_key: str) -> None:
    report(name="generate-1")
    with signed_in(open_page(), api_key) as page:
        page.get_by_role("link", name="Workers", exact=True).click()
        row = page.get_by_role("row").filter(has_text="generate-1")
        row.get_by_text("idle", exact=True).wait_for()
        report([LOADED], name="generate-2", state=WorkerState.WORKING, model="echo", batch_rows=64)
        working = page.get_by_role("row").filter(has_text="generate-2")
        working.get_by_text("working", exact=True).wait_for()  # without a reload by the visitor
        assert "64.0 MiB" in working.inner_text() and "64 rows" in working.inner_text()
        sql("UPDATE workers SET seen_at = now() - interval '3 minutes' WHERE name = 'generate-1'")
        row.get_by_text("not seen for 3 min").wait_for()


def test_a_model_is_reloaded(open_page: OpenPage, api_key: str, catalog: Path) -> None:
    with signed_in(open_page(), api_key) as page:
        page.get_by_role("link", name="Models", exact=True).click()
        page.get_by_role("cell", name="not loaded").wait_for()
        write_echo_model(catalog.parent / "second")
        catalog.write_text(CATALOG.replace('path = "echo"', 'path = "second"\nrevision = "second"'))
        page.get_by_role("button", name="Read models.toml again").click()
        page.get_by_role("status").wait_for()
        assert page.get_by_role("cell", name="second", exact=True).count() == 1
        catalog.write_text("[models")
        page.get_by_role("button", name="Read models.toml again").click()
        page.get_by_role("alert").wait_for()
        assert "the models stay as they were" in page.get_by_role("alert").inner_text()
        require_accessible(page)


def test_a_failed_delivery_is_resent(
    open_page: OpenPage, api_key: str, api: httpx.Client, receiver: ScriptedReceiver, deliver: Callable[[], None]
) -> None:
    sent = send_test(api, register(api, receiver.url(), description="reviews"))
    deliver()
    give_up()
    with signed_in(open_page(), api_key) as page:
        page.get_by_role("link", name="Webhooks", exact=True).click()
        page.get_by_role("link", name="reviews").click()
        page.get_by_label("State").select_option("failed")
        page.get_by_role("button", name="Filter").click()
        page.get_by_role("row").filter(has_text="503").get_by_role("button", name="Resend").click()
        page.get_by_role("button", name="Yes, resend").click()
        page.wait_for_url(f"**/page/webhooks/deliveries/{sent}")
        page.get_by_text("pending", exact=True).wait_for()
        deliver()
        page.reload()
        page.get_by_text("delivered", exact=True).wait_for()
        attempts = page.get_by_role("table").get_by_role("row").all_inner_texts()[1:]
        assert ["503" in attempts[0], "200" in attempts[1]] == [True, True]


@pytest.mark.parametrize("width", WIDTHS)
def test_an_endpoint_is_replayed(open_page: OpenPage, api_key: str, api: httpx.Client, width: str) -> None:
    endpoint = register(api, "https://8.8.8.8/hook")
    for _ in range(3):
        send_test(api, endpoint)
    give_up()
    with signed_in(open_page(width), api_key) as page:
        page.goto(f"/page/webhooks/{endpoint['id']}")
        assert page.get_by_label("Only what failed").is_checked()
        page.get_by_role("button", name="Replay…").click()
        page.get_by_role("heading", name="Replay webhooks?").wait_for()
        require_accessible(page)
        page.get_by_role("button", name="Yes, replay").click()
        page.get_by_text("3 webhooks are sent again").wait_for()
        require_accessible(page)
        page.get_by_role("link", name="The endpoint and its deliveries").click()
        page.get_by_role("cell", name="pending").nth(2).wait_for()


def test_an_endpoint_is_tested_disabled_and_enabled_without_scripts(
    open_page: OpenPage, api_key: str, api: httpx.Client
) -> None:
    endpoint = register(api, "https://8.8.8.8/hook")
    with signed_in(open_page(java_script_enabled=False), api_key) as page:
        page.goto(f"/page/webhooks/{endpoint['id']}")
        page.get_by_role("button", name="Send a test event…").click()
        page.get_by_role("button", name="Yes, test").click()
        page.wait_for_url(re.compile(r"/page/webhooks/deliveries/[0-9a-f-]{36}$"))
        page.get_by_role("link", name=endpoint["id"]).click()
        page.get_by_role("button", name="Disable…").click()
        page.get_by_role("button", name="Yes, disable").click()
        page.get_by_text("by its owner").wait_for()
        assert page.get_by_role("button", name=re.compile("Resend|Replay|test")).count() == 0
        page.get_by_role("button", name="Enable…").click()
        page.get_by_role("button", name="Yes, enable").click()
        page.get_by_role("button", name="Disable…").wait_for()


def test_a_delivery_is_resent_by_keyboard(open_page: OpenPage, api_key: str, api: httpx.Client) -> None:
    endpoint = register(api, "https://8.8.8.8/hook")
    sent = send_test(api, endpoint)
    give_up()
    with signed_in(open_page(), api_key) as page:
        follow(page, "Webhooks", "**/page/webhooks")
        follow(page, "https://8.8.8.8/hook", f"**/page/webhooks/{endpoint['id']}")
        follow(page, "Resend endpoint.test", "**/page/webhooks/confirm")
        follow(page, "Yes,", f"**/page/webhooks/deliveries/{sent}")


@pytest.mark.parametrize("scopes", [["read"], ["webhooks"], ["read", "submit", "webhooks"]])
def test_who_is_no_admin_sees_none_of_the_operators_rooms(
    open_page: OpenPage, api: httpx.Client, scopes: list[str]
) -> None:
    report(name="generate-1")
    key = api.post("/v1/keys", json={"name": "narrow", "scopes": scopes}).json()["key"]
    with signed_in(open_page(), key) as page:
        seen = set(page.locator("header nav a").all_inner_texts())
        assert not seen & {"Workers", "Models"}
        assert ("Webhooks" in seen) is ("webhooks" in scopes)
        for path in ("/page/workers", "/page/models"):
            answered = page.goto(path)
            assert answered and answered.status == 403
            assert "generate-1" not in page.content()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_room_fits_and_can_be_read(
    open_page: OpenPage,
    api_key: str,
    api: httpx.Client,
    receiver: ScriptedReceiver,
    deliver: Callable[[], None],
    width: str,
    scheme: str,
) -> None:
    busy_and_lost()
    failing = register(api, receiver.url("/" + "a" * 200), description="a-name-that-is-long-" * 9)
    sent = send_test(api, failing)
    deliver()
    disabled = register(api, "https://8.8.8.8/" + "b" * 200, "job.results", filter="flagged == true")
    send_test(api, disabled)
    api.patch(f"{PATH}/{disabled['id']}", json={"enabled": False})
    rooms = ("workers", "models", "webhooks", f"webhooks/{failing['id']}", f"webhooks/{disabled['id']}")
    with signed_in(open_page(width, color_scheme=scheme), api_key) as page:
        for room in (*rooms, f"webhooks/deliveries/{sent}"):
            page.goto(f"/page/{room}")
            require_accessible(page)
