"""Tenants on the page, and who may see and do what with keys and tenants. The API and the page log acts alike."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from lengthwise.key import INSTALLATION
from tests.integration.access import keys
from tests.integration.page.test_keys import NEW, all_keys, messages
from tests.integration.page.test_rooms import require_well_formed
from tests.integration.page.viewer import Shown, operator, with_scopes
from tests.ledger import DEFAULT

#: A form of a tenant, with nothing wrong in it.
TENANT = {
    "name": "shop",
    "weight": "2.5",
    "max_pending_tokens": "0",
    "max_requests_per_minute": "600",
    "max_open_jobs": "",
}
#: The id of nothing.
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    "scopes", [("read",), ("submit",), ("webhooks",), ("read", "submit", "webhooks")], ids="+".join
)
def test_who_is_no_admin_may_do_nothing(client: TestClient, scopes: tuple[str, ...]) -> None:
    key = keys.new_key(client, "read")["id"]
    viewer = with_scopes(client, *scopes)
    before = client.get("/v1/keys").json(), client.get("/v1/tenants").json()
    for path in (f"/page/keys/{key}/revoke", f"/page/keys/{key}/rotate", f"/page/tenants/{DEFAULT}"):
        assert viewer.get(path).status_code == 403, path
        assert viewer.post(path, data=TENANT).status_code == 403, path
    for path in ("/page/keys", "/page/tenants"):
        assert viewer.post(path, data=NEW).status_code == 403, path
    assert (client.get("/v1/keys").json(), client.get("/v1/tenants").json()) == before


def test_another_tenants_admin_sees_its_own_tenant_alone(client: TestClient) -> None:
    theirs = keys.new_key(client, "read", name="theirs")["id"]
    tenant = keys.new_tenant(client)
    viewer = with_scopes(client, "admin", tenant=tenant)
    own = viewer.get("/page/keys")
    assert own.status_code == 200 and theirs not in own.text
    shown = Shown(viewer.get("/page/tenants").text)
    links = [each["href"] or "" for each in shown.all("a")]
    assert [link for link in links if link.startswith("/page/tenants/")] == [f"/page/tenants/{tenant}"]
    for path in ("/page/tenants", f"/page/tenants/{tenant}"):
        forms = [each["action"] for each in Shown(viewer.get(path).text).all("form")]
        assert forms == ["/page/sign-out"], "there is nothing to change"
    for path in (
        f"/page/keys?tenant={DEFAULT}",
        f"/page/keys?after={theirs}",
        f"/page/keys/{theirs}/revoke",
        f"/page/keys/{theirs}/rotate",
        f"/page/tenants/{DEFAULT}",
        f"/page/tenants?after={DEFAULT}",
        f"/page/usage?tenant={DEFAULT}",
        f"/page/usage/csv?tenant={DEFAULT}",
    ):
        assert viewer.get(path).status_code == 404, path


def test_another_tenants_admin_changes_nothing_of_others(client: TestClient) -> None:
    theirs = keys.new_key(client, "read", name="theirs")["id"]
    tenant = keys.new_tenant(client)
    viewer = with_scopes(client, "admin", tenant=tenant)
    before = all_keys(client), client.get("/v1/tenants").json()
    sent: list[tuple[str, dict[str, Any], int]] = [
        (f"/page/keys/{theirs}/revoke", {"x": "y"}, 404),
        (f"/page/keys/{theirs}/rotate", {"overlap_seconds": "0"}, 404),
        ("/page/keys", NEW | {"tenant": str(DEFAULT)}, 404),
        (f"/page/tenants/{DEFAULT}", TENANT, 404),
        (f"/page/tenants/{tenant}", TENANT, 403),
        ("/page/tenants", TENANT, 403),
    ]
    for path, fields, status in sent:
        assert viewer.post(path, data=fields).status_code == status, path
    assert (all_keys(client), client.get("/v1/tenants").json()) == before


def test_another_tenants_admin_makes_keys_of_its_own_tenant(client: TestClient) -> None:
    tenant = keys.new_tenant(client)
    viewer = with_scopes(client, "admin", tenant=tenant)
    assert viewer.post("/page/keys", data=NEW).status_code == 200
    assert [each["tenant"] for each in all_keys(client, tenant=tenant)] == [tenant, tenant]
    assert all_keys(client) == []


def test_an_operator_manages_the_keys_of_any_tenant(client: TestClient) -> None:
    tenant = keys.new_tenant(client, "stranger")
    viewer = operator(client)
    page = Shown(viewer.get(f"/page/keys?tenant={tenant}").text)
    assert "Keys of the tenant stranger" in page.text
    [sent] = [each["value"] for each in page.all("input") if each.get("name") == "tenant"]
    made = viewer.post("/page/keys", data=NEW | {"tenant": sent})
    back = f"/page/keys?tenant={tenant}"
    assert back in {each["href"] for each in Shown(made.text).all("a")}
    [key] = all_keys(client, tenant=tenant)
    revoked = viewer.post(f"/page/keys/{key['id']}/revoke")
    assert revoked.headers["location"] == back
    wrong = viewer.post("/page/keys", data=NEW | {"tenant": sent, "name": ""})
    assert (wrong.status_code, "Keys of the tenant stranger" in Shown(wrong.text).text) == (422, True)


@pytest.mark.parametrize("path", ["/page/keys/{id}/revoke", "/page/keys/{id}/rotate", "/page/tenants/{id}"])
@pytest.mark.parametrize("name", ["none", NOBODY, str(INSTALLATION)])
def test_what_is_not_there_is_a_404(client: TestClient, path: str, name: str) -> None:
    viewer = operator(client)
    assert viewer.get(path.format(id=name)).status_code == 404
    assert viewer.post(path.format(id=name), data=TENANT | {"overlap_seconds": "0"}).status_code == 404


def test_a_tenant_is_made_and_changed(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    viewer = operator(client)
    caplog.set_level(logging.INFO)
    made = viewer.post("/page/tenants", data=TENANT)
    assert made.status_code == 303
    path = made.headers["location"]
    tenant = path.rpartition("/")[2]
    found = client.get(f"/v1/tenants/{tenant}").json()
    limits = {"max_pending_tokens": 0, "max_requests_per_minute": 600, "max_open_jobs": None}
    assert found == found | {"name": "shop", "weight": 2.5} | limits
    typed = {each["name"] or "": each["value"] for each in Shown(viewer.get(path).text).all("input")}
    assert typed == TENANT
    changed = viewer.post(path, data=TENANT | {"max_pending_tokens": "", "max_open_jobs": "7", "weight": ""})
    assert (changed.status_code, changed.headers["location"]) == (303, path)
    again = client.get(f"/v1/tenants/{tenant}").json()
    assert again == found | {"max_pending_tokens": None, "max_open_jobs": 7, "limits": again["limits"]}
    for act in ("made", "changed"):
        assert len(messages(caplog, f"{act} the tenant {tenant}")) == 1
    assert messages(caplog, "shop") == []
    assert path in {each["href"] for each in Shown(viewer.get("/page/tenants").text).all("a")}


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "changed"])
@pytest.mark.parametrize(
    ("typed", "status", "says"),
    [
        ({"name": ""}, 422, "name: "),
        ({"name": "taken"}, 409, "another tenant has this name"),
        ({"weight": "0"}, 422, "weight: "),
        ({"weight": "nan"}, 422, "weight: "),
        ({"weight": "1e999"}, 422, "weight: "),
        ({"weight": "true"}, 422, "weight: "),
        ({"max_open_jobs": "0"}, 422, "max_open_jobs: "),
        ({"max_open_jobs": "1.5"}, 422, "max_open_jobs: "),
        ({"max_requests_per_minute": "1 000"}, 422, "max_requests_per_minute: "),
        ({"max_pending_tokens": str(2**63)}, 422, "max_pending_tokens: "),
        ({"max_pending_tokens": "9" * 5000}, 422, "max_pending_tokens: "),
    ],
)
def test_a_wrong_tenant_is_refused_with_what_was_typed(
    client: TestClient, typed: dict[str, str], status: int, says: str, is_new: bool
) -> None:
    keys.new_tenant(client, "taken")
    path = "/page/tenants" if is_new else f"/page/tenants/{keys.new_tenant(client, 'old')}"
    before = client.get("/v1/tenants").json()
    answered = operator(client).post(path, data=TENANT | typed)
    assert answered.status_code == status
    shown = Shown(answered.text)
    assert says in shown.text
    assert {each["name"]: each["value"] for each in shown.all("input")} == TENANT | typed
    assert client.get("/v1/tenants").json() == before


def test_the_list_of_tenants_pages(client: TestClient) -> None:
    made = [keys.new_tenant(client, f"tenant {n}") for n in range(51)]
    viewer = operator(client)
    first = Shown(viewer.get("/page/tenants").text)
    [older] = [each["href"] for each in first.all("a") if each.get("rel") == "next"]
    assert older
    links = [each["href"] or "" for page in (first, Shown(viewer.get(older).text)) for each in page.all("a")]
    shown = [link.rpartition("/")[2] for link in links if link.startswith("/page/tenants/")]
    assert shown == [*reversed(made), str(DEFAULT)]


#: Each act over the API, and the same on the page. They take who does it, the id of a key, and that of a tenant.
ACTS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "made the key": (
        lambda client, *_: client.post("/v1/keys", json={"name": "a", "scopes": ["read"]}),
        lambda viewer, *_: viewer.post("/page/keys", data=NEW),
    ),
    "rotated the key": (
        lambda client, key, _: client.post(f"/v1/keys/{key}/rotate"),
        lambda viewer, key, _: viewer.post(f"/page/keys/{key}/rotate", data={"overlap_seconds": "3600"}),
    ),
    "revoked the key": (
        lambda client, key, _: client.post(f"/v1/keys/{key}/revoke"),
        lambda viewer, key, _: viewer.post(f"/page/keys/{key}/revoke"),
    ),
    "made the tenant": (
        lambda client, *_: client.post("/v1/tenants", json={"name": "a"}),
        lambda viewer, *_: viewer.post("/page/tenants", data=TENANT),
    ),
    "changed the tenant": (
        lambda client, _, tenant: client.patch(f"/v1/tenants/{tenant}", json={"weight": 3}),
        lambda viewer, _, tenant: viewer.post(f"/page/tenants/{tenant}", data=TENANT),
    ),
}


@pytest.mark.parametrize("act", ACTS)
def test_the_api_and_the_page_log_an_act_alike(client: TestClient, caplog: pytest.LogCaptureFixture, act: str) -> None:
    over_api, on_page = ACTS[act]
    key, tenant = keys.new_key(client, "read")["id"], keys.new_tenant(client)
    whos: list[tuple[Callable[..., Any], Any]] = [(over_api, client), (on_page, operator(client))]
    for do, who in whos:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            assert do(who, key, tenant).status_code < 400
        [line] = messages(caplog, f"the key {INSTALLATION} {act} ")
        assert line.startswith("the key ")


def test_the_forms_are_well_formed_and_everything_has_a_name(client: TestClient) -> None:
    viewer = operator(client)
    key = keys.new_key(client, "read", name="<b>long</b> " * 10)["id"]
    rooms = ("/page/keys", "/page/tenants", "/page/usage")
    more = (f"/page/keys?tenant={DEFAULT}", f"/page/tenants/{DEFAULT}", "/page/usage?to=x")
    asked = (f"/page/keys/{key}/revoke", f"/page/keys/{key}/rotate")
    answers = [viewer.get(path).text for path in (*rooms, *more, *asked)]
    answers.append(viewer.post("/page/keys", data=NEW).text)
    answers.append(viewer.post("/page/tenants", data=TENANT | {"weight": "x"}).text)
    for html in answers:
        require_well_formed(html)
