"""Keys, tenants and usage in Chromium: made, used, revoked, plotted and downloaded, at a desk and on a phone."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.caller import bearer
from tests.ledger import DEFAULT, sql
from tests.page.accessible import follow, require_accessible, tab_to
from tests.page.conftest import WIDTHS, OpenPage, signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOMS = ("/page/keys", "/page/tenants", "/page/usage")


@pytest.fixture
def api(url: str, api_key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=bearer(api_key), timeout=30) as client:
        yield client


def make_key(page: "Page", name: str, *more_scopes: str) -> str:
    """Makes a key that may read and submit, and returns it."""
    page.goto("/page/keys")
    page.get_by_label("Name", exact=True).fill(name)
    for scope in more_scopes:
        page.locator(f"#scope-{scope}").check()
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("heading", name=f"The key {name} is made").wait_for()
    key: str = page.locator("#key").input_value()
    return key


def revoke_key(page: "Page", name: str) -> None:
    page.goto("/page/keys")
    page.get_by_role("link", name=f"Revoke the key {name}").click()
    page.get_by_role("button", name="Yes, revoke").click()


def use(day: str, items: int) -> None:
    """Work of the installation's own key."""
    work = "INSERT INTO model_usage VALUES (:tenant, :day, :key, 'echo', :items, :items * 10, :items * 100)"
    own = "00000000-0000-0000-0000-000000000000"
    sql(work, tenant=DEFAULT, day=day, key=own, items=items)


def test_a_key_is_made_signs_in_and_is_revoked(open_page: OpenPage, api_key: str) -> None:
    with signed_in(open_page(), api_key) as admin:
        key = make_key(admin, "shop")
        require_accessible(admin)
        assert key not in admin.url
        with signed_in(open_page(), key) as visitor:
            assert visitor.locator("header nav a").all_inner_texts() == ["Overview", "Jobs", "Submit", "Usage"]
            admin.get_by_role("link", name="To the list of keys").click()
            admin.get_by_text("valid", exact=True).wait_for()
            assert key not in admin.content()
            revoke_key(admin, "shop")
            admin.get_by_text("revoked", exact=True).wait_for()
            assert admin.get_by_role("link", name="Revoke the key shop").count() == 0
            visitor.wait_for_timeout(700)
            visitor.goto("/page/jobs")
            assert visitor.get_by_label("API key").is_visible()


def test_whoever_revokes_their_own_key_is_signed_out(open_page: OpenPage, api_key: str) -> None:
    with signed_in(open_page(), api_key) as admin:
        key = make_key(admin, "another admin", "admin")
    with signed_in(open_page(), key) as page:
        page.goto("/page/keys")
        page.get_by_text("this session").wait_for()
        revoke_key(page, "another admin")
        page.wait_for_url("**/page/sign-in")
        page.wait_for_timeout(700)
        page.goto("/page")
        assert page.get_by_label("API key").is_visible()


def test_a_key_is_rotated(open_page: OpenPage, api_key: str) -> None:
    with signed_in(open_page(), api_key) as admin:
        old = make_key(admin, "shop")
        admin.goto("/page/keys")
        admin.get_by_role("link", name="Rotate the key shop").click()
        admin.get_by_label("The old key stays valid for").select_option("1 hour")
        require_accessible(admin)
        admin.get_by_role("button", name="Yes, rotate").click()
        admin.get_by_role("heading", name="The key shop is made").wait_for()
        new = admin.locator("#key").input_value()
    assert new != old
    for key in (old, new):
        with signed_in(open_page(), key) as page:
            assert page.locator("header nav a").count() == 4


def test_a_reader_sees_no_admin(open_page: OpenPage, api: httpx.Client) -> None:
    key = api.post("/v1/keys", json={"name": "reader", "scopes": ["read"]}).json()["key"]
    with signed_in(open_page(), key) as page:
        names = page.locator("header nav a").all_inner_texts()
        assert "Usage" in names and not {"Keys", "Tenants"} & set(names)
        for path in ("/page/keys", "/page/tenants"):
            answered = page.goto(path)
            assert answered and answered.status == 403, path
        page.goto("/page/usage")
        assert page.get_by_role("img").count() == 2


def test_usage_is_plotted_and_downloaded(open_page: OpenPage, api_key: str) -> None:
    use("2031-01-30", 3)
    use("2031-02-01", 40)
    with signed_in(open_page(), api_key) as page:
        page.goto("/page/usage")
        page.get_by_label("From day (UTC)").fill("2031-01-30")
        page.get_by_label("To day (UTC)").fill("2031-02-02")
        page.get_by_role("button", name="Show", exact=True).click()
        page.wait_for_url("**/page/usage?from=2031-01-30&to=2031-02-02")
        bars = page.locator("figure rect.bar")
        heights = bars.evaluate_all("bars => bars.map((bar) => Number(bar.getAttribute('height')))")
        assert [height > 0 for height in heights] == [True, False, True, False] * 2
        assert heights[2] > heights[0]
        page.get_by_text("The days as a table").click()
        page.get_by_role("rowheader", name="2031-02-01").wait_for()
        require_accessible(page)
        with page.expect_download() as download:
            page.get_by_role("link", name="by day", exact=True).click()
        assert download.value.suggested_filename == "usage-2031-01-30-2031-02-02.csv"
        assert Path(download.value.path()).read_text().splitlines() == [
            "day,requests,items,input_tokens,output_tokens",
            "2031-01-30,0,3,30,300",
            "2031-02-01,0,40,400,4000",
        ]


def test_a_tenant_is_made_changed_and_given_a_key(open_page: OpenPage, api_key: str, api: httpx.Client) -> None:
    with signed_in(open_page(), api_key) as page:
        page.goto("/page/tenants")
        page.get_by_label("Name", exact=True).fill("shop")
        page.get_by_label("Open jobs", exact=True).fill("0")
        page.get_by_role("button", name="Make the tenant").click()
        page.get_by_role("alert").wait_for()
        assert page.get_by_label("Name", exact=True).input_value() == "shop"
        page.get_by_label("Open jobs", exact=True).fill("5")
        page.get_by_role("button", name="Make the tenant").click()
        page.get_by_role("heading", name="The tenant shop").wait_for()
        page.get_by_label("Requests a minute", exact=True).fill("600")
        page.get_by_role("button", name="Change the tenant").click()
        page.get_by_text("of 600").first.wait_for()
        page.get_by_role("link", name="Its keys").click()
        page.get_by_label("Name", exact=True).fill("of the shop")
        page.get_by_role("button", name="Make the key").click()
        page.locator("#key").wait_for()
    [tenant] = [each for each in api.get("/v1/tenants").json()["data"] if each["name"] == "shop"]
    assert (tenant["max_open_jobs"], tenant["max_requests_per_minute"]) == (5, 600)
    [key] = api.get("/v1/keys", params={"tenant": tenant["id"]}).json()["data"]
    assert key["name"] == "of the shop"


def test_keys_are_made_and_revoked_by_keyboard(open_page: OpenPage, api_key: str) -> None:
    page = open_page()
    page.goto("/")
    tab_to(page, "API key")
    page.keyboard.type(api_key)
    page.keyboard.press("Enter")
    page.wait_for_selector("header nav")
    follow(page, "Keys", "**/page/keys")
    tab_to(page, "Name")
    page.keyboard.type("by keyboard")
    tab_to(page, "webhooks")
    page.keyboard.press("Space")
    tab_to(page, "Make the key")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="The key by keyboard is made").wait_for()
    tab_to(page, "New key")
    assert page.evaluate("() => document.activeElement.value").startswith("lw_")
    tab_to(page, "To the list of keys")
    page.keyboard.press("Enter")
    page.get_by_text("valid", exact=True).wait_for()
    follow(page, "Revoke the key by keyboard", "**/revoke")
    tab_to(page, "Yes, revoke")
    page.keyboard.press("Enter")
    page.get_by_text("revoked", exact=True).wait_for()


def test_the_rooms_work_without_scripts(open_page: OpenPage, api_key: str) -> None:
    with signed_in(open_page(java_script_enabled=False), api_key) as page:
        assert make_key(page, "shop").startswith("lw_")
        revoke_key(page, "shop")
        page.get_by_text("revoked", exact=True).wait_for()
        page.goto("/page/usage")
        page.get_by_role("button", name="Show", exact=True).click()
        page.wait_for_url(re.compile(r"/page/usage\?from="))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_room_fits_and_can_be_read(
    open_page: OpenPage, api_key: str, api: httpx.Client, width: str, scheme: str
) -> None:
    use(f"{datetime.now(UTC).date()}", 1234567)
    tenant = api.post("/v1/tenants", json={"name": "x" * 190, "max_pending_tokens": 2**62}).json()["id"]
    long = "a-name-that-is-long-" * 5 + "x" * 90
    made = [
        api.post("/v1/keys", json={"name": long, "scopes": ["read", "submit", "webhooks", "admin"], **more}).json()
        for more in ({"expires_in_seconds": 1000}, {}, {"tenant": tenant})
    ]
    api.post(f"/v1/keys/{made[0]['id']}/revoke")
    key = made[1]["id"]
    more = ("/page/usage?from=nonsense", f"/page/usage?tenant={tenant}", f"/page/keys?tenant={tenant}")
    asked = (f"/page/tenants/{tenant}", f"/page/keys/{key}/rotate", f"/page/keys/{key}/revoke")
    with signed_in(open_page(width, color_scheme=scheme), api_key) as page:
        for path in (*ROOMS, *more, *asked):
            page.goto(path)
            require_accessible(page)
        page.goto("/page/usage")
        page.get_by_text("The days as a table").click()
        require_accessible(page)
        make_key(page, "x" * 190)
        require_accessible(page)
