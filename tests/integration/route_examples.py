"""An id for each path parameter, and what else a valid request to each route needs."""

import json
from typing import Any

from starlette.testclient import TestClient

from tests.integration.access import keys
from tests.integration.conftest import submit
from tests.ledger import DEFAULT

LINE = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"model": "echo", "prompt": "CaNaRy"}}
HOOK = {"url": "https://8.8.8.8/", "events": ["job.*"]}
#: By method and path, as a request's keywords.
BODIES: dict[str, dict[str, Any]] = {
    "post /v1/jobs": {"json": {"kind": "generate", "items": ["CaNaRy"]}},
    "post /v1/jobs/estimate": {"json": {"kind": "generate", "items": ["CaNaRy"]}},
    "post /v1/keys": {"json": {"name": "CaNaRy", "scopes": ["read"]}},
    "post /v1/tenants": {"json": {"name": "CaNaRy"}},
    "patch /v1/tenants/{tenant_id}": {"json": {"weight": 2}},
    "post /v1/webhook-endpoints": {"json": HOOK},
    "patch /v1/webhook-endpoints/{endpoint_id}": {"json": {"description": "CaNaRy"}},
    "post /v1/webhook-endpoints/{endpoint_id}/replay": {"json": {"since": "2020-01-01T00:00:00Z"}},
    "post /v1/files": {"data": {"purpose": "batch"}, "files": {"file": ("CaNaRy", json.dumps(LINE).encode())}},
}


def create_ids(client: TestClient) -> dict[str, str]:
    """The ids by parameter name. The job has not run yet."""
    job = submit(client, ["abc", "x" * 600], webhook={"url": HOOK["url"]})
    endpoint = client.post("/v1/webhook-endpoints", json=HOOK).json()["id"]
    delivery = client.post(f"/v1/webhook-endpoints/{endpoint}/test").json()["id"]
    file = client.post("/v1/files", **BODIES["post /v1/files"]).json()["id"]
    wanted = {"input_file_id": file, "endpoint": LINE["url"], "completion_window": "24h"}
    batch = client.post("/v1/batches", json=wanted).json()["id"]
    return {
        "job_id": job["id"],
        "key_id": keys.new_key(client, "read")["id"],
        "tenant_id": str(DEFAULT),
        "endpoint_id": endpoint,
        "delivery_id": delivery,
        "file": file,
        "batch": batch,
    }
