"""Signing in and out, what ends a session, and what other sites may not do in its name."""

import time
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from api.app import ROUTERS
from api.page import answer
from api.page.seal import SECONDS, Sessions
from api.page.session import COOKIE
from tests.caller import KEY, PEPPER
from tests.integration.access import keys
from tests.integration.page.viewer import OWN, Shown, Viewer, operator, sign_in, with_scopes

WRONG_KEYS = ["", "lw_" + "0" * 32 + "_" + "a" * 43, "x" * 600, "lw_é", KEY + "x", f"{KEY} {KEY}"]
POSTS = sorted(
    route.path
    for form, routers in ROUTERS
    if form is answer.of_problem
    for router in routers
    for route in router.routes
    if isinstance(route, Route) and "POST" in (route.methods or ())
)


def cookie_of(answered: object) -> SimpleCookie:
    found: SimpleCookie = SimpleCookie()
    found.load(answered.headers["set-cookie"])  # type: ignore[attr-defined]
    return found


def test_the_root_leads_to_the_page_which_asks_for_a_key(client: TestClient) -> None:
    root = client.get("/", follow_redirects=False)
    assert (root.status_code, root.headers["location"]) == (303, "/page")
    asked = client.get("/page")
    assert asked.status_code == 401
    assert [each["type"] for each in Shown(asked.text).all("input")] == ["password"]
    assert asked.headers["cache-control"] == "no-store"


def test_a_cookie_is_out_of_reach_of_scripts_and_of_other_sites(client: TestClient) -> None:
    answered = sign_in(client, KEY)
    [morsel] = cookie_of(answered).values()
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "strict", "/page")
    assert (morsel["secure"], morsel["max-age"]) == ("", str(SECONDS))
    assert KEY not in morsel.value and KEY[-10:] not in morsel.value
    over_tls = sign_in(client, KEY, origin="https://testserver")
    assert cookie_of(over_tls)[COOKIE]["secure"] is True


@pytest.mark.parametrize("wrong", WRONG_KEYS)
def test_a_wrong_key_is_refused_and_not_repeated(client: TestClient, wrong: str) -> None:
    answered = sign_in(client, wrong)
    assert answered.status_code == 401
    assert "set-cookie" not in answered.headers
    assert not wrong or wrong not in answered.text
    assert "not valid" in Shown(answered.text).text


def test_a_sign_in_form_has_a_limit(client: TestClient) -> None:
    sent = client.post("/page/sign-in", data={"key": "x" * 100_000}, headers=OWN)
    assert sent.status_code == 413
    many = client.post("/page/sign-in", data={f"k{n}": "" for n in range(1000)}, headers=OWN)
    assert many.status_code == 400
    assert client.post("/page/sign-in", json={"key": KEY}, headers=OWN).status_code == 415


def test_signing_in_leads_back_to_the_page_that_asked(client: TestClient) -> None:
    back = sign_in(client, KEY, referer="http://testserver/page/jobs?state=running")
    assert back.headers["location"] == "/page/jobs?state=running"


@pytest.mark.parametrize(
    "referer",
    [
        "http://elsewhere/page/jobs",
        "http://testserver:81/page/jobs",
        "http://testserver//elsewhere/page",
        "http://testserver/page/../../v1",
        "http://testserver/pages",
        "http://testserver/page/sign-in",
        "http://[",
        "//elsewhere/page",
        "",
    ],
)
def test_signing_in_leads_nowhere_else(client: TestClient, referer: str) -> None:
    location = sign_in(client, KEY, referer=referer).headers["location"]
    assert location == "/page" or location.startswith("/page/")
    assert "//" not in location


def test_a_key_begins_where_it_may(client: TestClient) -> None:
    assert with_scopes(client, "submit").signed_in.headers["location"] == "/page/submit"
    assert with_scopes(client, "read").signed_in.headers["location"] == "/page"
    assert with_scopes(client, "webhooks").signed_in.headers["location"] == "/page/webhooks"


@pytest.mark.parametrize(
    ("scope", "room"), [("submit", "/page/submit"), ("webhooks", "/page/webhooks"), ("read", "/page")]
)
@pytest.mark.parametrize("asked", ["/page", "/page/sign-in"])
def test_a_key_that_may_not_see_the_overview_is_not_sent_there(
    client: TestClient, scope: str, room: str, asked: str
) -> None:
    key = keys.new_key(client, scope)["key"]
    location = sign_in(client, key, referer=f"http://testserver{asked}").headers["location"]
    assert location == room


def test_a_revoked_key_ends_its_session(client: TestClient) -> None:
    made = keys.new_key(client, "read")
    viewer = Viewer(client, made["key"])
    assert viewer.get("/page").status_code == 200
    assert client.post(f"/v1/keys/{made['id']}/revoke").status_code == 200
    time.sleep(0.6)  # a key is cached for half a second
    assert viewer.get("/page").status_code == 401
    assert viewer.get("/page/events/overview").status_code == 401


def test_signing_out_clears_the_cookie(client: TestClient) -> None:
    answered = operator(client).post("/page/sign-out")
    assert (answered.status_code, answered.headers["location"]) == (303, "/page/sign-in")
    assert cookie_of(answered)[COOKIE].value == ""
    assert cookie_of(answered)[COOKIE]["path"] == "/page"


@pytest.mark.parametrize("value", ["", "x", KEY, "sealed:1:2", "gAAAAA" * 50, "é", "x" * 5000])
def test_no_cookie_but_ours_is_a_session(client: TestClient, value: str) -> None:
    headers = [(b"cookie", f"{COOKIE}={value}".encode())]
    assert client.get("/page", headers=headers).status_code == 401


def test_a_session_lasts_twelve_hours_and_only_under_its_pepper(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Sessions(PEPPER)
    value = ours.seal(KEY)
    assert ours.open(value) == KEY
    assert Sessions("another-pepper-of-24-characters").open(value) is None
    assert ours.open(value[:-2] + ("AA" if not value.endswith("AA") else "BB")) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SECONDS + 2)
    assert ours.open(value) is None


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://elsewhere"},
        {"origin": "http://testserver:8001"},
        {"origin": "http://testserver.elsewhere"},
        {"sec-fetch-site": "cross-site", "origin": "http://testserver"},
        {"sec-fetch-site": "same-site", "origin": "http://testserver"},
        {"sec-fetch-site": "none", "origin": "http://testserver"},
    ],
)
def test_another_sites_form_is_refused(client: TestClient, path: str, headers: dict[str, str]) -> None:
    assert path.startswith("/page/")
    refused = operator(client).post(path, headers=headers, data={"key": KEY, "act": "cancel"})
    assert refused.status_code == 403
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize("headers", [{"origin": "http://testserver"}, {"sec-fetch-site": "same-origin"}])
def test_a_browser_may_say_in_either_way_that_the_form_is_ours(client: TestClient, headers: dict[str, str]) -> None:
    assert operator(client).post("/page/sign-out", headers=headers).status_code == 303


def test_the_session_is_no_key_of_the_api(client: TestClient) -> None:
    viewer = operator(client)
    del client.headers["authorization"]
    assert viewer.get("/v1/jobs").status_code == 401


def test_a_viewer_is_limited_as_a_caller_is(client: TestClient) -> None:
    tenant = keys.new_tenant(client, max_requests_per_minute=5)
    viewer = with_scopes(client, "read", tenant=tenant)
    answers = [viewer.get("/page/jobs") for _ in range(8)]
    assert [answered.status_code for answered in answers][-1] == 429
    assert answers[-1].headers["content-type"].startswith("text/html")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "ratelimit" in answers[0].headers


def test_no_template_bypasses_the_escaping() -> None:
    folder = Path(answer.__file__).parent / "templates"
    texts = {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*.html")}
    assert len(texts) > 10
    for name, text in texts.items():
        assert "| safe" not in text and "|safe" not in text and "autoescape" not in text, name
        assert " style=" not in text and " on" + "click" not in text and "<style" not in text, name
        assert "http://" not in text and "https://" not in text and "//cdn" not in text, name
