"""The OpenAPI document is complete, matches what the API does, and its examples are accepted."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from lengthwise.key import Scope
from lengthwise.kinds import KINDS
from lengthwise.kinds.openai import ENDPOINTS
from lengthwise.models.catalog import Catalog
from tests.fakes import write_config

#: Statuses that any operation with a key may answer, and the operations that need no key.
OF_KEYS = {"401", "403", "429", "503"}
WITHOUT_KEY = {"get /healthz", "get /readyz"}

#: The other statuses of each operation, as the tests in this folder see them; ``default`` is every other error.
STATUSES = {
    "post /v1/jobs": "202 400 409 413 415 422 429 503 507 default",
    "post /v1/jobs/estimate": "200 400 409 413 415 422 429 503 507 default",
    "get /v1/jobs": "200 404 422 503 default",
    "get /v1/jobs/{job_id}": "200 404 422 503 default",
    "delete /v1/jobs/{job_id}": "204 404 503 507 default",
    "get /v1/jobs/{job_id}/results": "200 404 422 503 507 default",
    "get /v1/jobs/{job_id}/deliveries": "200 404 503 default",
    "post /v1/jobs/{job_id}/cancel": "200 404 503 507 default",
    "post /v1/jobs/{job_id}/retry": "202 404 409 422 429 503 507 default",
    "get /v1/models": "200 default",
    "post /v1/models/reload": "200 409 default",
    "post /v1/keys": "201 400 404 413 415 422 507 default",
    "get /v1/keys": "200 404 422 default",
    "get /v1/keys/{key_id}": "200 404 default",
    "post /v1/keys/{key_id}/rotate": "201 400 404 409 413 415 422 507 default",
    "post /v1/keys/{key_id}/revoke": "200 404 507 default",
    "post /v1/tenants": "201 400 409 413 415 422 507 default",
    "get /v1/tenants": "200 404 422 default",
    "get /v1/tenants/{tenant_id}": "200 404 default",
    "patch /v1/tenants/{tenant_id}": "200 400 404 409 413 415 422 507 default",
    "post /v1/webhook-endpoints": "201 400 409 413 415 422 503 507 default",
    "get /v1/webhook-endpoints": "200 404 422 503 default",
    "get /v1/webhook-endpoints/{endpoint_id}": "200 404 503 default",
    "patch /v1/webhook-endpoints/{endpoint_id}": "200 400 404 413 415 422 503 507 default",
    "delete /v1/webhook-endpoints/{endpoint_id}": "204 404 503 507 default",
    "post /v1/webhook-endpoints/{endpoint_id}/rotate": "200 400 404 413 415 422 503 507 default",
    "post /v1/webhook-endpoints/{endpoint_id}/test": "202 404 409 503 507 default",
    "get /v1/webhook-endpoints/{endpoint_id}/deliveries": "200 404 422 503 default",
    "post /v1/webhook-endpoints/{endpoint_id}/replay": "202 400 404 409 413 415 422 503 507 default",
    "get /v1/deliveries/{delivery_id}": "200 404 503 default",
    "post /v1/deliveries/{delivery_id}/resend": "202 404 409 503 507 default",
    "get /v1/limits": "200 default",
    "get /v1/usage": "200 422 default",
    "get /v1/tenants/{tenant_id}/usage": "200 404 422 default",
    "get /v1/workers": "200 default",
    "get /v1/models/{name}": "200 404 default",
    "post /v1/files": "200 400 413 415 503 507 default",
    "get /v1/files": "200 400 404 503 default",
    "get /v1/files/{file}": "200 404 503 default",
    "delete /v1/files/{file}": "200 404 409 503 default",
    "get /v1/files/{file}/content": "200 404 503 default",
    "post /v1/batches": "200 400 413 429 503 507 default",
    "get /v1/batches": "200 400 404 503 default",
    "get /v1/batches/{batch}": "200 404 503 default",
    "post /v1/batches/{batch}/cancel": "200 404 409 503 507 default",
    **{f"post {path}": "200 400 404 409 413 429 503 504 507 default" for path in ENDPOINTS},
    "get /healthz": "200 default",
    "get /readyz": "200 503 default",
}

#: Where errors have OpenAI's form.
OPENAI = ("/v1/files", "/v1/batches", "/v1/models/{name}", *ENDPOINTS)

CHATML = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


MORE_MODELS = """
[models.echo.chat]
[models.classifier]
path = "classifier"
[models.classifier.moderate]
[models.embedder]
path = "embedder"
[models.embedder.embed]
"""


@pytest.fixture
def every_kind(catalog: Path) -> None:
    """Makes the catalog's models serve every kind."""
    (catalog.parent / "echo" / "chat_template.jinja").write_text(CHATML)
    write_config(catalog.parent / "classifier", "BertForSequenceClassification", id2label={"0": "hate"})
    write_config(catalog.parent / "embedder", "BertModel", model_type="bert")
    catalog.write_text(catalog.read_text() + MORE_MODELS)
    assert KINDS.keys() == {kind for spec in Catalog.read(catalog).models.values() for kind in spec.kinds}


@pytest.fixture
def document(every_kind: None, client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(inner)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{method} {path}": found for path, each in document["paths"].items() for method, found in each.items()}


def test_every_reference_resolves_and_every_schema_is_used(document: dict[str, Any]) -> None:
    references = {part["$ref"] for part in parts(document) if "$ref" in part}
    assert references == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert not any("__" in reference for reference in references), "a module's path is nobody's business"


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert {"title", "version", "summary", "description", "license"} <= document["info"].keys()
    identifiers = [operation["operationId"] for operation in operations(document).values()]
    assert len(identifiers) == len(set(identifiers))
    for name, operation in operations(document).items():
        assert operation["description"], name
        assert operation["tags"], name
        declared = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", name))


def test_each_operation_documents_its_statuses(document: dict[str, Any]) -> None:
    named = {name: set(operation["responses"]) for name, operation in operations(document).items()}
    expected = {name: set(statuses.split()) for name, statuses in STATUSES.items()}
    assert named == {
        name: set(each) | (OF_KEYS if name not in WITHOUT_KEY else set()) for name, each in expected.items()
    }


def test_every_operation_except_health_needs_a_key_of_one_scope(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for name, operation in operations(document).items():
        wanted = operation.get("security", [])
        assert (wanted == []) is (name in WITHOUT_KEY), name
        assert [set(each) for each in wanted] in ([], [{"key"}]), name
        assert all(len(each["key"]) == 1 and each["key"][0] in set(Scope) for each in wanted), name


def test_every_error_is_a_problem_with_an_example_of_its_own(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["Problem"]
    for name, operation in operations(document).items():
        if name.partition(" ")[2].startswith(OPENAI):
            continue
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                continue
            content = response["content"]["application/problem+json"]
            example = content["example"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, name
            assert set(schema["required"]) <= set(example) <= set(schema["properties"]), name
            assert str(example["status"]) == (status if status != "default" else "500"), name
            assert ("headers" in response) is (status in ("401", "429", "503", "507")), name


def test_every_error_of_openai_routes_has_openais_form_and_an_example(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["OpenAIError"]
    for name, operation in operations(document).items():
        if not name.partition(" ")[2].startswith(OPENAI):
            continue
        for status, response in operation["responses"].items():
            if status == "200":
                continue
            content = response["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}, name
            assert set(schema["required"]) == set(content["example"]["error"]) == set(schema["properties"]), name
            assert ("headers" in response) is (status in ("401", "429", "503", "507")), name


def test_the_documented_example_jobs_are_accepted(document: dict[str, Any], client: TestClient) -> None:
    forms = operations(document)["post /v1/jobs"]["requestBody"]["content"]
    examples = forms["application/json"]["examples"]
    assert examples.keys() == KINDS.keys()
    for example in examples.values():
        assert client.post("/v1/jobs", json=example["value"]).status_code == 202
    streamed = forms["application/x-ndjson"]["example"]
    answer = client.post("/v1/jobs", content=streamed, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 202


def test_the_schema_of_a_job_has_every_field(document: dict[str, Any], client: TestClient) -> None:
    schemas = document["components"]["schemas"]
    for name in KINDS:
        form = schemas[f"{name.capitalize()}Job"]
        refused = client.post("/v1/jobs", json={"kind": name, "no such field": 1, "items": ["x"]}).json()
        known = refused["detail"].partition("known here: ")[2].split(", ")
        assert set(known) == set(form["properties"])
        assert set(form["required"]) == {"kind", "items"}
        assert form["additionalProperties"] is False


def test_an_answer_has_the_documented_fields(document: dict[str, Any], client: TestClient) -> None:
    schemas = document["components"]["schemas"]
    made = client.post(
        "/v1/jobs", json={"kind": "generate", "items": ["x"], "webhook": {"url": "https://8.8.8.8/"}}
    ).json()
    for answer, name in ((made, "CreatedJob"), (client.get(made["links"]["self"]).json(), "Job")):
        assert answer.keys() == schemas[name]["properties"].keys()
        assert answer["counts"].keys() == schemas["Counts"]["properties"].keys()
    models = client.get("/v1/models").json()
    assert models.keys() == schemas["ModelList"]["properties"].keys()
    assert models["data"][0].keys() == schemas["Model"]["properties"].keys()


def test_the_example_of_results_is_a_valid_result_line(document: dict[str, Any]) -> None:
    response = operations(document)["get /v1/jobs/{job_id}/results"]["responses"]["200"]
    line = json.loads(response["content"]["application/x-ndjson"]["example"])
    assert line.keys() == {"index", "id", "status", "output", "usage", "model_revision"}
    assert "lengthwise-job-state" in response["headers"]
