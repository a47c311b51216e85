"""What a caller wrote is text on every page: in HTML, in plots and in events, whatever field it was in."""

import json
import re

import pytest
from starlette.testclient import TestClient

from lengthwise.ledger.workers import ReportedModel
from tests.integration.access import keys
from tests.integration.conftest import RunWorker, submit
from tests.integration.page.viewer import OWN, Shown, operator
from tests.integration.workers.reported import report
from tests.ledger import DEFAULT, sql

#: Breaks out of a text, of an attribute in either quotes, of a script, of an event, and of a template.
CANARIES = [
    "<script>CaNaRy()</script>",
    '"><img src=x onerror=CaNaRy()>',
    "' onfocus=CaNaRy() autofocus x='",
    "</pre></textarea></title><svg onload=CaNaRy()>",
    "{{ 7*7 }}{% raw %}CaNaRy",
    "a\r\n\r\nevent: over\r\ndata: CaNaRy",
    "javascript:CaNaRy()",
]
#: Attributes that run something, and elements that load something.
_HANDLERS = ("onerror", "onfocus", "onload", "onclick", "srcdoc")


def require_harmless(html: str, canary: str) -> None:
    """Fails if the canary is anything but text and values of ours."""
    shown = Shown(html)
    scripts = shown.all("script")
    assert all((each.get("src") or "").startswith("/page/asset/") for each in scripts)
    assert not shown.all("img") and not shown.all("iframe") and not shown.all("base")
    for tag, attributes in shown.elements:
        assert not set(_HANDLERS) & attributes.keys(), (tag, canary)
        assert "autofocus" not in attributes, canary
        for name in ("href", "src", "action", "formaction"):
            assert "CaNaRy" not in (attributes.get(name) or "").split("?")[0], (tag, canary)


@pytest.mark.parametrize("canary", CANARIES)
def test_the_fields_of_a_job_are_text(client: TestClient, run_worker: RunWorker, canary: str) -> None:
    line = canary.replace("\r\n", " ")
    item = {"id": canary, "text": line[::-1], "metadata": {canary: canary}}  # the model answers with its reverse
    job = submit(client, [item, "x" * 600], name=canary, source_file=canary, webhook={"url": "https://8.8.8.8/a'b"})
    run_worker()
    viewer = operator(client)
    for path in (f"/page/jobs/{job['id']}", "/page/jobs", "/page"):
        answered = viewer.get(path)
        assert answered.status_code == 200
        require_harmless(answered.text, canary)
    assert " ".join(canary.split()) in Shown(viewer.get(f"/page/jobs/{job['id']}").text).text, "it is shown, as text"
    events = viewer.get(f"/page/events/jobs/{job['id']}").text
    name, data = (line for line in re.split(r"\r\n|\r|\n", events) if line and not line.startswith(":"))
    assert name == "event: over"
    require_harmless(json.loads(data.removeprefix("data: "))["html"], canary)


@pytest.mark.parametrize("canary", CANARIES)
def test_what_was_typed_into_a_filter_is_text(client: TestClient, canary: str) -> None:
    viewer = operator(client)
    for field in ("state", "kind", "model", "tag", "key_id", "name", "since", "until", "after"):
        answered = viewer.get("/page/jobs", params={field: canary})
        assert answered.status_code in (200, 404, 422), field
        require_harmless(answered.text, canary)


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("path", ["/page/submit", "/page/submit/preview"])
def test_what_was_typed_into_the_form_of_a_file_is_text(client: TestClient, canary: str, path: str) -> None:
    fields = ("kind", "model", "format", "text_column", "id_column", "delimiter", "encoding", "name", "tags",
              "priority", "deadline", "webhook", "parameters", "translate.source", "once", "is_part")  # fmt: skip
    files = {"file": (canary.replace("\r\n", "") + ".csv", f"{json.dumps(canary)},text\n1,{json.dumps(canary)}\n")}
    answered = operator(client).post(path, data=dict.fromkeys(fields, canary), files=files)
    assert answered.status_code in (200, 400, 404, 422)
    require_harmless(answered.text, canary)
    assert answered.headers["content-security-policy"]


@pytest.mark.parametrize("canary", CANARIES)
def test_the_rows_of_a_preview_are_text(client: TestClient, canary: str) -> None:
    line = json.dumps({"id": canary, "text": canary, "metadata": {canary: canary}}) + "\n"
    answered = operator(client).post(
        "/page/submit/preview", data={"kind": "generate"}, files={"file": ("a.ndjson", line)}
    )
    assert answered.status_code == 200
    require_harmless(answered.text, canary)
    assert " ".join(canary.split()) in Shown(answered.text).text


@pytest.mark.parametrize("canary", CANARIES)
def test_what_an_operator_and_a_worker_named_is_text(client: TestClient, canary: str) -> None:
    failed = ReportedModel(name=canary, state="failed", reason=canary, failed_seconds=1.0)
    report([failed], name=canary, host=canary, model=canary, pool=canary, last_error=canary, device=canary)
    submit(client, ["abc"])
    sql("UPDATE jobs SET model = :model, kind = 'generate'", model=canary)
    answered = operator(client).get("/page")
    assert answered.status_code == 200
    require_harmless(answered.text, canary)
    assert " ".join(canary.split()) in Shown(answered.text).text


@pytest.mark.parametrize("canary", CANARIES)
def test_the_names_of_keys_tenants_and_models_are_text(client: TestClient, canary: str) -> None:
    tenant = keys.new_tenant(client, canary)
    key = keys.new_key(client, "read", name=canary, tenant=tenant)["id"]
    work = "INSERT INTO model_usage VALUES (:tenant, (now() AT TIME ZONE 'UTC')::date, :key, :model, 1, 10, 100)"
    sql(work, tenant=tenant, key=key, model=canary)
    viewer = operator(client)
    paths = ["/page/tenants", f"/page/tenants/{tenant}", f"/page/keys?tenant={tenant}", f"/page/usage?tenant={tenant}"]
    for path in (*paths, f"/page/keys/{key}/rotate", f"/page/keys/{key}/revoke"):
        answered = viewer.get(path)
        assert answered.status_code == 200, path
        require_harmless(answered.text, canary)
        assert " ".join(canary.split()) in Shown(answered.text).text, path
    rotated = viewer.post(f"/page/keys/{key}/rotate", data={"overlap_seconds": "0"})
    assert rotated.status_code == 200
    require_harmless(rotated.text, canary)


@pytest.mark.parametrize("canary", CANARIES)
def test_what_was_typed_into_the_forms_of_keys_tenants_and_usage_is_text(client: TestClient, canary: str) -> None:
    viewer = operator(client)
    fields = ("name", "days", "scope", "tenant", "weight", "max_pending_tokens", "max_open_jobs", "overlap_seconds")
    for path in ("/page/keys", "/page/tenants", f"/page/tenants/{DEFAULT}"):
        answered = viewer.post(path, data=dict.fromkeys(fields, canary))
        assert answered.status_code in (404, 422), path
        require_harmless(answered.text, canary)
    for path in ("/page/usage", "/page/usage/csv", "/page/keys", "/page/tenants"):
        for field in ("from", "to", "by", "tenant", "after"):
            answered = viewer.get(path, params={field: canary})
            assert answered.status_code in (200, 404, 422), (path, field)
            require_harmless(answered.text, canary)


@pytest.mark.parametrize("canary", CANARIES)
def test_an_act_on_something_else_than_a_job_repeats_nothing(client: TestClient, canary: str) -> None:
    viewer = operator(client)
    for path in ("/page/jobs/confirm", "/page/jobs/act"):
        for fields in ({"act": canary, "job": "x"}, {"act": "cancel", "job": canary}, {"act": "retry", "once": canary}):
            answered = viewer.post(path, data=fields)
            assert answered.status_code in (404, 422)
            assert "CaNaRy" not in answered.text
    assert "CaNaRy" not in client.post("/page/sign-in", data={"key": canary}, headers=OWN).text
