"""The page in Chromium: what people do there, with a mouse, a keyboard, at a desk and on a phone."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.caller import bearer
from tests.page.accessible import focused, follow, require_accessible, tab_to
from tests.page.conftest import WIDTHS, OpenPage, signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

TABLE = "sku,title\n1,abc\n2,de\n3,<b>f</b>\n"
ROOMS = ("/page", "/page/jobs", "/page/submit")


@pytest.fixture
def api(url: str, api_key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=bearer(api_key), timeout=30) as client:
        yield client


def submit(api: httpx.Client, items: list[Any], **more: Any) -> str:
    answer = api.post("/v1/jobs", json={"kind": "generate", "items": items, **more})
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


def submit_table(page: "Page", tmp_path: Path, **fields: str) -> None:
    (tmp_path / "catalogue.csv").write_text(TABLE)
    page.goto("/page/submit")
    page.get_by_label("Kind").select_option("generate")
    page.get_by_label("File", exact=True).set_input_files(tmp_path / "catalogue.csv")
    page.get_by_label("Column of the texts").fill("title")
    page.get_by_label("Column of the ids").fill("sku")
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)


def test_a_file_is_submitted_watched_and_downloaded(
    open_page: OpenPage, api_key: str, work: None, tmp_path: Path
) -> None:
    with signed_in(open_page(), api_key) as page:
        submit_table(page, tmp_path, Name="spring catalogue")
        page.get_by_role("region", name="First rows").wait_for()
        assert "<b>f</b>" in page.locator("#preview").inner_text()
        page.get_by_role("button", name="Submit", exact=True).click()
        page.wait_for_url(re.compile(r"/page/jobs/[0-9a-f-]{36}$"))
        page.get_by_text("completed", exact=True).first.wait_for()
        assert page.locator("h1").inner_text() == "spring catalogue"
        with page.expect_download() as download:
            page.get_by_role("link", name="NDJSON").click()
        lines = Path(download.value.path()).read_text().splitlines()
        assert [json.loads(line)["output"]["text"] for line in lines] == ["cba", "ed", ">b/<f>b<"]
        with page.expect_download() as download:
            page.get_by_role("link", name="Results as CSV").click()
        assert Path(download.value.path()).read_text().splitlines()[0].startswith("sku,title,")


def test_figures_follow_while_the_page_is_open(
    open_page: OpenPage, api_key: str, api: httpx.Client, run_worker: Any
) -> None:
    job = submit(api, ["abc"] * 300)
    with signed_in(open_page(), api_key) as page:
        page.goto(f"/page/jobs/{job}")
        page.get_by_text("0 / 300").wait_for()
        run_worker()
        page.get_by_text("300 / 300").wait_for()  # without a reload by the visitor
        page.get_by_text("completed", exact=True).first.wait_for()


def test_a_file_may_be_dropped(open_page: OpenPage, api_key: str) -> None:
    with signed_in(open_page(), api_key) as page:
        page.goto("/page/submit")
        page.get_by_label("Kind").select_option("generate")
        dropped = page.evaluate_handle(
            "() => { const data = new DataTransfer();"
            " data.items.add(new File(['abc\\nde\\n'], 'texts.txt', {type: 'text/plain'})); return data; }"
        )
        page.dispatch_event("[data-drop]", "drop", {"dataTransfer": dropped})
        page.get_by_role("region", name="First rows").wait_for()
        page.get_by_role("button", name="Submit", exact=True).click()
        page.wait_for_url(re.compile(r"/page/jobs/[0-9a-f-]{36}$"))


def test_a_wrong_file_says_so_and_keeps_what_was_typed(open_page: OpenPage, api_key: str, tmp_path: Path) -> None:
    with signed_in(open_page(), api_key) as page:
        submit_table(page, tmp_path)
        page.get_by_label("Column of the texts").fill("body")
        page.get_by_role("button", name="Submit", exact=True).click()
        page.get_by_role("alert").wait_for()
        assert "'sku', 'title'" in page.get_by_role("alert").inner_text()
        assert page.get_by_label("Column of the texts").input_value() == "body"
        require_accessible(page)


def test_a_job_is_cancelled_and_another_retried(
    open_page: OpenPage, api_key: str, api: httpx.Client, run_worker: Any
) -> None:
    ended = submit(api, ["abc", "x" * 600])
    run_worker()
    waiting = submit(api, ["abc"])
    with signed_in(open_page(), api_key) as page:
        page.goto(f"/page/jobs/{waiting}")
        page.get_by_role("button", name="Cancel…").click()
        page.get_by_role("button", name="Yes, cancel").click()
        page.wait_for_url(f"**/page/jobs/{waiting}")
        page.get_by_text("cancelled", exact=True).first.wait_for()
        page.goto(f"/page/jobs/{ended}")
        page.get_by_role("button", name="Retry the failed items…").click()
        page.get_by_role("button", name="Yes, retry").click()
        page.get_by_text("cannot be taken again").wait_for()  # it is too long still


def test_many_jobs_are_cancelled_at_once(open_page: OpenPage, api_key: str, api: httpx.Client) -> None:
    for _ in range(3):
        submit(api, ["abc"])
    with signed_in(open_page(), api_key) as page:
        page.goto("/page/jobs")
        for box in page.get_by_role("checkbox").all():
            box.check()
        page.get_by_role("button", name="Cancel the chosen jobs…").click()
        page.get_by_role("heading", name="Cancel 3 jobs?").wait_for()
        page.get_by_role("button", name="Yes, cancel").click()
        page.get_by_text("3 jobs, 0 of them not done").wait_for()


def test_everything_is_reached_by_keyboard(open_page: OpenPage, api_key: str, api: httpx.Client) -> None:
    job = submit(api, ["abc"], name="by keyboard")
    page = open_page()
    page.goto("/")
    tab_to(page, "API key")
    page.keyboard.type(api_key)
    page.keyboard.press("Enter")
    page.wait_for_selector("header nav")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    follow(page, "Jobs", "**/page/jobs")
    tab_to(page, "Choose job by keyboard")
    page.keyboard.press("Space")
    follow(page, "Cancel the chosen jobs", "**/page/jobs/confirm")
    follow(page, "Yes,", f"**/page/jobs/{job}")
    follow(page, "Sign out", "**/page/sign-in")


def test_a_reader_sees_nothing_to_do(open_page: OpenPage, api: httpx.Client) -> None:
    job = submit(api, ["abc"])
    key = api.post("/v1/keys", json={"name": "reader", "scopes": ["read"]}).json()["key"]
    with signed_in(open_page(), key) as page:
        assert page.locator("header nav a").all_inner_texts() == ["Overview", "Jobs", "Usage"]
        for path in ("/page/jobs", f"/page/jobs/{job}"):
            page.goto(path)
            assert page.get_by_role("button", name=re.compile("Cancel|Retry")).count() == 0
        answered = page.goto("/page/submit")
        assert answered and answered.status == 403


def test_a_revoked_key_is_asked_for_again(open_page: OpenPage, api: httpx.Client) -> None:
    made = api.post("/v1/keys", json={"name": "short", "scopes": ["read"]}).json()
    with signed_in(open_page(), made["key"]) as page:
        api.post(f"/v1/keys/{made['id']}/revoke")
        page.wait_for_timeout(700)
        page.goto("/page/jobs")
        assert page.get_by_label("API key").is_visible()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_can_be_read(
    open_page: OpenPage, api_key: str, api: httpx.Client, run_worker: Any, width: str, scheme: str
) -> None:
    long = "a-name-that-is-long-" * 9
    ended = submit(
        api, ["abc", "x" * 600], name=long, tags=["nightly"], webhook={"url": "https://8.8.8.8/" + "a" * 200}
    )
    run_worker()
    waiting = submit(api, ["abc"])
    visitor = open_page(width, color_scheme=scheme)
    visitor.goto("/page")
    require_accessible(visitor)
    with signed_in(visitor, api_key) as page:
        for path in (*ROOMS, f"/page/jobs/{ended}", f"/page/jobs/{waiting}", "/page/jobs?since=nonsense"):
            page.goto(path)
            require_accessible(page)


def test_the_page_works_without_scripts(open_page: OpenPage, api_key: str, tmp_path: Path) -> None:
    with signed_in(open_page(java_script_enabled=False), api_key) as page:
        submit_table(page, tmp_path)
        page.get_by_role("button", name="Show the first rows").click()
        page.get_by_role("region", name="First rows").wait_for()
        assert page.get_by_label("Column of the texts").input_value() == "title"
        page.get_by_label("File", exact=True).set_input_files(tmp_path / "catalogue.csv")
        page.get_by_role("button", name="Submit", exact=True).click()
        page.wait_for_url(re.compile(r"/page/jobs/[0-9a-f-]{36}$"))


@pytest.mark.parametrize(("path", "shown"), [("/docs", "/v1/jobs"), ("/redoc", "lengthwise")])
def test_the_documentation_loads_without_a_network(open_page: OpenPage, path: str, shown: str) -> None:
    pytest.importorskip("fastapi_offline")
    page = open_page()
    page.goto(path)
    page.get_by_text(shown).first.wait_for()


def test_live_figures_move_nothing(open_page: OpenPage, api_key: str, api: httpx.Client) -> None:
    with signed_in(open_page(), api_key) as page:
        page.evaluate(
            "() => { window.moved = 0; new PerformanceObserver((list) => {"
            " for (const each of list.getEntries()) if (!each.hadRecentInput) window.moved += each.value; })"
            ".observe({type: 'layout-shift', buffered: true}); }"
        )
        page.wait_for_timeout(5_000)  # two looks
        assert page.evaluate("() => window.moved") < 0.02
