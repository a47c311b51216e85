"""Secrets in the database: none in plain text, old ones still readable, and all resealed under a new master key."""

import base64
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook
from starlette.testclient import TestClient

from lengthwise import database, sealing
from lengthwise.ledger.webhooks import sealed_secret
from tests.integration.conftest import RunWorker, submit
from tests.integration.webhooks.hooks import PATH, Answers, register, status
from tests.integration.webhooks.test_http_attempt import ScriptedReceiver
from tests.ledger import knobs, sql
from tests.servers import MASTER_KEY

pytestmark = pytest.mark.usefixtures("reachable")

SECRET = "whsec_" + "A" * 43 + "="
NEW_KEY = "B" * 43 + "="


def reseal() -> int:
    with database.engine().begin() as connection:
        return sealed_secret.reseal(connection, limit=100)


def stored() -> list[str]:
    """Every secret as its row stores it."""
    columns = "unnest(ARRAY[secret, signing_key, old_secret, old_signing_key])"
    rows = sql(f"SELECT webhook_secret FROM jobs UNION ALL SELECT {columns} FROM webhook_endpoints")  # noqa: S608
    return [row for (row,) in rows if row is not None]


def make_secrets(client: TestClient) -> dict[str, Any]:
    """Makes a job with its own secret, and an endpoint with rotated secrets."""
    submit(client, ["abc"], webhook={"url": "https://8.8.8.8/", "secret": SECRET})
    endpoint = register(client, "https://8.8.8.8/", secret=SECRET)
    rotated: dict[str, Any] = client.post(f"{PATH}/{endpoint['id']}/rotate").json()
    return rotated


def test_no_table_holds_a_secret_in_plain_text(client: TestClient) -> None:
    make_secrets(client)
    assert len(stored()) == 5
    assert all(each.startswith("sealed:") for each in stored())
    client.post(submit(client, ["abc"], webhook={"url": "https://8.8.8.8/", "secret": SECRET})["links"]["cancel"])
    dump = str(sql("SELECT to_jsonb(d) FROM deliveries d") + sql("SELECT to_jsonb(j) FROM jobs j"))
    assert "whsec_" not in dump


def test_an_unsealed_secret_signs_and_is_sealed_by_the_sweep(
    client: TestClient, run_worker: RunWorker, deliver: Callable[[], None]
) -> None:
    script = Answers(status(200))
    with ScriptedReceiver(script) as receiver:
        for when in ("before", "after"):
            job = submit(client, ["abc"], webhook={"url": receiver.url(), "secret": SECRET})
            sql("UPDATE jobs SET webhook_secret = :secret WHERE id = :id", secret=SECRET, id=UUID(job["id"]))
            if when == "after":
                assert reseal() == 2, "that of the ended job as well"
            run_worker()
            deliver()
    for headers, body in script.received:
        Webhook(SECRET).verify(body, headers)
    assert len(script.received) == 2
    assert all(each.startswith("sealed:") for each in stored())


def test_secrets_that_older_versions_copied_into_deliveries_are_removed(client: TestClient) -> None:
    job = submit(client, ["abc"], webhook={"url": "https://8.8.8.8/", "secret": SECRET})
    client.post(job["links"]["cancel"])
    sql("UPDATE deliveries SET secrets = ARRAY[:secret]", secret=SECRET)
    sql("UPDATE jobs SET webhook_secret = :secret", secret=SECRET)
    reseal()
    assert sql("SELECT secrets FROM deliveries") == [([],)]


def test_a_master_key_is_rotated_while_the_system_runs(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = make_secrets(client)
    knobs(monkeypatch, master_key=f"{NEW_KEY},{MASTER_KEY}")
    later = submit(client, ["abc"], webhook={"url": "https://8.8.8.8/", "secret": SECRET})
    assert reseal() == 5
    assert reseal() == 0
    [new_id] = sealing.MasterKeys([base64.b64decode(NEW_KEY)]).ids
    assert all(each.startswith(f"sealed:{new_id}:") for each in stored())
    knobs(monkeypatch, master_key=NEW_KEY)
    jobs = sql("SELECT id, webhook_secret FROM jobs")
    assert UUID(later["id"]) in dict(jobs)
    assert {sealed_secret.unseal_for_job(job_id, sealed) for job_id, sealed in jobs} == {SECRET}
    [(new, old)] = sql("SELECT secret, old_secret FROM webhook_endpoints")
    owner = UUID(endpoint["id"])
    assert sealed_secret.unseal_for_endpoint(owner, "secret", new) == endpoint["secret"]
    assert sealed_secret.unseal_for_endpoint(owner, "secret", old) == SECRET


def test_a_secret_that_no_longer_signs_is_removed(client: TestClient) -> None:
    make_secrets(client)
    for seconds, left in ((60, 5), (-1, 3)):
        sql("UPDATE webhook_endpoints SET old_until = now() + make_interval(secs => :s)", s=seconds)
        with database.engine().begin() as connection:
            sealed_secret.forget_rotated(connection)
        assert len(stored()) == left
