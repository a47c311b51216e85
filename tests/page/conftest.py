"""A whole API with a worker in this process, and Debian's Chromium in front of it. ``make test-page`` installs both."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lengthwise import settings
from tests.fakes import write_catalog
from tests.integration.conftest import api_key, deliver, reachable, run_worker
from tests.openai.conftest import RunWorker, served, working

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page
    from playwright.sync_api import Request as BrowserRequest

__all__ = ["api_key", "deliver", "reachable", "run_worker"]

#: The widths at which pages are looked at: a desk, and a phone.
WIDTHS = {"desk": (1280, 800), "phone": (390, 844)}
#: Starts pages in new contexts: each is a browser of somebody else.
OpenPage = Callable[..., Any]


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("page")


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "apt-get install chromium"
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One echo model, slow enough for somebody to watch."""
    path = write_catalog(tmp_path, seconds_per_batch=0.05)
    monkeypatch.setenv("LENGTHWISE_MODELS", str(path))
    settings.get.cache_clear()
    return path


@pytest.fixture
def url(catalog: Path, installed: settings.Settings) -> Iterator[str]:
    with served() as found:
        yield found


@pytest.fixture
def work(run_worker: RunWorker) -> Iterator[None]:
    """A worker that runs all work during the test."""
    with working(run_worker):
        yield


@pytest.fixture
def open_page(browser: "Browser", url: str) -> Iterator[OpenPage]:
    """Opens a page of a new visitor. At the end, no page may have logged an error or broken the policy."""
    complaints: list[str] = []
    contexts = []

    def said(message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def asked(request: "BrowserRequest") -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            complaints.append(request.url)

    def opened(width: str = "desk", **options: Any) -> "Page":
        pixels_wide, pixels_high = WIDTHS[width]
        context = browser.new_context(
            base_url=url, viewport={"width": pixels_wide, "height": pixels_high}, accept_downloads=True, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", said)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", asked)
        page.set_default_timeout(15_000)
        return page

    yield opened
    for context in contexts:
        context.close()
    # Chromium logs every answer of 4xx as an error; tests that ask for one expect it.
    assert [each for each in complaints if "the server responded with a status of 4" not in each] == []


@contextmanager
def signed_in(page: "Page", key: str) -> "Iterator[Page]":
    page.goto("/")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("header nav")
    yield page
