"""Each page for each role, its headers, and its form for those who use a keyboard or a screen reader."""

import re
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from api.page.header import CONTENT_SECURITY_POLICY
from api.page.room import ROOMS
from tests.integration.access import keys
from tests.integration.conftest import RunWorker, submit
from tests.integration.page.viewer import Shown, operator, with_scopes

ROLES: dict[str, tuple[str, ...]] = {
    "reader": ("read",),
    "submitter": ("submit",),
    "both": ("read", "submit"),
    "webhooks": ("webhooks",),
    "admin": ("admin",),
}
#: By path, the roles that may see it.
SEEN_BY = {
    "/page": {"reader", "both", "admin"},
    "/page/jobs": {"reader", "both", "admin"},
    "/page/jobs/{job}": {"reader", "both", "admin"},
    "/page/jobs/{job}/results/csv": {"reader", "both", "admin"},
    "/page/jobs/{job}/results/ndjson": {"reader", "both", "admin"},
    "/page/jobs/{job}/results/parquet": {"reader", "both", "admin"},
    "/page/events/jobs/{job}": {"reader", "both", "admin"},
    "/page/submit": {"submitter", "both", "admin"},
    "/page/workers": {"admin"},
    "/page/models": {"admin"},
    "/page/webhooks": {"webhooks", "admin"},
    "/page/usage": {"reader", "both", "admin"},
    "/page/usage/csv": {"reader", "both", "admin"},
    "/page/keys": {"admin"},
    "/page/tenants": {"admin"},
}
VOID = {"meta", "link", "input", "br", "hr", "img"}


@pytest.fixture
def job(client: TestClient, run_worker: RunWorker) -> str:
    """One that has ended, with a failed item and a webhook."""
    made: str = submit(client, ["abc", "de", "x" * 600], webhook={"url": "https://8.8.8.8/"})["id"]
    run_worker()
    return made


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_pages_and_no_others(client: TestClient, job: str, role: str) -> None:
    viewer = with_scopes(client, *ROLES[role])
    for path, roles in SEEN_BY.items():
        answered = viewer.get(path.format(job=job))
        refused = 303 if path == "/page" else 403  # the overview leads on to the key's first room
        assert answered.status_code == (200 if role in roles else refused), path
        assert answered.headers["content-security-policy"] == CONTENT_SECURITY_POLICY, path
        assert answered.headers["x-content-type-options"] == "nosniff", path
        assert answered.headers["cache-control"] == "no-store", path


@pytest.mark.parametrize("role", ROLES)
def test_the_navigation_has_what_the_key_may_see(client: TestClient, role: str) -> None:
    viewer = with_scopes(client, *ROLES[role])
    first = viewer.signed_in.headers["location"]
    links = {each["href"] for each in Shown(viewer.get(first).text).all("a")}
    for room in ROOMS:
        assert (room.path in links) == (role in SEEN_BY[room.path]), room


@pytest.mark.parametrize(
    ("scopes", "room"),
    [(("submit",), "/page/submit"), (("webhooks",), "/page/webhooks"), (("webhooks", "submit"), "/page/submit")],
)
def test_a_key_that_may_not_see_the_overview_is_led_to_its_first_room(
    client: TestClient, scopes: tuple[str, ...], room: str
) -> None:
    viewer = with_scopes(client, *scopes)
    led = viewer.get("/page")
    assert (led.status_code, led.headers["location"]) == (303, room)
    assert viewer.get(room).status_code == 200
    assert viewer.get("/page/events/overview").status_code == 403


def test_a_reader_is_offered_nothing_that_it_may_not_do(client: TestClient, job: str) -> None:
    for path in ("/page/jobs", f"/page/jobs/{job}"):
        shown = Shown(with_scopes(client, "read").get(path).text)
        assert [each for each in shown.all("button") if each.get("name") == "act"] == [], path
        assert [each for each in shown.all("input") if each.get("type") == "checkbox"] == [], path


def test_only_the_operator_sees_the_whole_installation(client: TestClient, job: str) -> None:
    stranger = keys.new_tenant(client)
    whole = Shown(operator(client).get("/page").text)
    assert "Workers" in whole.text and len(whole.all("svg")) == 2
    for viewer in (
        with_scopes(client, "read"),
        with_scopes(client, "read", "submit", "webhooks"),
        with_scopes(client, "admin", tenant=stranger),
    ):
        shown = Shown(viewer.get("/page").text)
        assert "Workers" not in shown.text and shown.all("svg") == []
        assert "your tenant alone" in shown.text


def test_another_tenants_job_is_a_404(client: TestClient, job: str) -> None:
    viewer = with_scopes(client, "admin", tenant=keys.new_tenant(client))
    for path in SEEN_BY:
        if "{job}" in path:
            assert viewer.get(path.format(job=job)).status_code == 404, path
    assert job not in viewer.get("/page/jobs").text
    assert viewer.get(f"/page/jobs?after={job}").status_code == 404
    acted = viewer.post("/page/jobs/act", data={"act": "cancel", "job": job})
    assert "there is no such job" in Shown(acted.text).text


@pytest.mark.parametrize(
    "path", ["/page/nowhere", "/page/jobs/none", "/page/jobs/none/results/csv", "/page/asset/none"]
)
def test_an_unknown_path_is_a_page_that_repeats_nothing(client: TestClient, path: str) -> None:
    answered = operator(client).get(path)
    assert answered.status_code == 404
    assert answered.headers["content-type"] == "text/html; charset=utf-8"
    assert answered.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "nowhere" not in answered.text


class Outline(HTMLParser):
    """Checks as it reads: elements close in order, and each field has a label."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[dict[str, str | None]] = []
        self.tables: list[set[str]] = []
        self.landmarks: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if found := attributes.get("id"):
            self.ids.append(found)
        if tag == "label":
            self.labelled.add(attributes["for"] or "")
        if tag in ("input", "select", "textarea") and attributes.get("type") != "hidden":
            self.fields.append(attributes)
        if tag == "table":
            self.tables.append(set())
        if self.tables and tag in ("caption", "th", "td"):
            self.tables[-1].add(tag if tag != "th" else f"th {attributes.get('scope')}")
        if tag in ("main", "header", "h1"):
            self.landmarks.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()


def require_well_formed(html: str) -> None:
    """Fails unless elements close in order, and each field, table and page has a name."""
    outline = Outline(html)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.landmarks.count("main") == outline.landmarks.count("h1") == 1
    for field in outline.fields:
        assert field.get("aria-label") or field.get("id") in outline.labelled, field
    for table in outline.tables:
        assert "caption" in table and "th col" in table and "th None" not in table


@pytest.mark.parametrize(
    "path", [*(room.path for room in ROOMS), "/page/jobs?since=nonsense", "/page/jobs/{job}", "/page/sign-in"]
)
def test_a_page_is_well_formed_and_everything_in_it_has_a_name(client: TestClient, job: str, path: str) -> None:
    require_well_formed(operator(client).get(path.format(job=job)).text)


def test_a_style_and_a_script_are_kept_for_ever_under_names_of_their_content(client: TestClient) -> None:
    shown = Shown(client.get("/page").text)
    paths = [each["href"] for each in shown.all("link")] + [each["src"] for each in shown.all("script")]
    assert len(paths) == 3
    for path in paths:
        assert path
        found = client.get(path)
        assert found.status_code == 200
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


def test_an_unexpected_error_is_a_page_too(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("CaNaRy")

    viewer = operator(client)
    monkeypatch.setattr("api.page.overview.look", fails)
    answered = viewer.get("/page")
    assert answered.status_code == 500
    assert answered.headers["content-type"] == "text/html; charset=utf-8"
    assert answered.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "CaNaRy" not in answered.text


def test_the_documentation_needs_no_network(client: TestClient) -> None:
    pytest.importorskip("fastapi_offline")
    for path in ("/docs", "/redoc"):
        page = client.get(path)
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert re.sub(r" 'sha256-[\w+/=]+'", "", policy) == CONTENT_SECURITY_POLICY
        shown = Shown(page.text)
        loaded = [each["src"] for each in shown.all("script")] + [each["href"] for each in shown.all("link")]
        for asset in loaded:
            assert asset and asset.startswith("/")
            found = client.get(asset)
            assert found.status_code == 200, asset
            assert b"https://cdn" not in found.content, asset
        assert all(each.get("src") for each in shown.all("script")), "nothing inline"
    assert client.get("/docs/asset/nothing.js").status_code == 404
