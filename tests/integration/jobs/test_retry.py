"""Failed items run again as a new job; the job in which they failed never changes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from starlette.testclient import TestClient

from api.access import auth
from lengthwise import database
from lengthwise.ledger.jobs.retry import lock_failed_job as failed_of
from lengthwise.ledger.jobs.retry import read_failed_items
from lengthwise.ledger.webhooks import sealed_secret
from tests import ledger
from tests.integration.conftest import RunWorker, read_job, submit
from tests.ledger import sql, tables
from tests.workers import sweep

pytestmark = pytest.mark.usefixtures("each_store")

TOO_LONG = "x" * 600


def retry(client: TestClient, job: dict[str, Any], **headers: str) -> httpx2.Response:
    return client.post(job["links"]["retry"], headers=headers)


def results(client: TestClient, job: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.get(job["links"]["results"]).text.splitlines()]


def fail(job: dict[str, Any], *indexes: int) -> None:
    """Turns these items of an ended job into failed ones, as if they had been settled so."""
    items, results = tables(job["id"])
    sql(
        f"UPDATE {results} SET status = 'failed' WHERE job_id = :job AND index = ANY(:indexes)",  # noqa: S608 - our own names
        job=UUID(job["id"]), indexes=list(indexes),
    )  # fmt: skip
    sql(
        f"""UPDATE shards SET n_failed = (
             SELECT count(*) FROM {items} item JOIN {results} USING (job_id, index)
             WHERE item.job_id = shards.job_id AND pos >= lo AND pos < hi AND status = 'failed')
           WHERE job_id = :job""",  # noqa: S608 - our own names
        job=UUID(job["id"]),
    )
    sql("UPDATE jobs SET is_tallied = false WHERE id = :job", job=UUID(job["id"]))  # only the shards are changed here


def test_only_the_failed_items_run_again_and_keep_their_order(client: TestClient, run_worker: RunWorker) -> None:
    wishes = {"kind": "translate", "source": "zh", "target": "en", "priority": "background"}
    items = [{"id": f"i{n}", "text": "x" * (30 - n), "metadata": {"n": n, "none": None}} for n in range(20)]
    deadline = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    hook = {"url": "https://8.8.8.8/hook", "secret": "whsec_" + "A" * 43 + "="}
    job = submit(client, items, **wishes, webhook=hook, deduplicate=False, deadline=deadline)
    run_worker()
    fail(job, 3, 17, 4)
    before = read_job(client, job["id"])

    answer = retry(client, job)
    made = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == made["links"]["self"] != job["links"]["self"]
    assert (made["retry_of"], made["state"], made["counts"]["total"]) == (job["id"], "queued", 3)
    same = ("kind", "model", "params", "priority", "deduplicate")
    assert {name: made[name] for name in same} == {name: job[name] for name in same}
    assert (made["deadline_at"], made["webhook"]) == (None, {"url": hook["url"]})

    run_worker()
    found = results(client, made)
    assert [(line["index"], line["id"], line["metadata"]["n"]) for line in found] == [
        (0, "i3", 3),
        (1, "i4", 4),
        (2, "i17", 17),
    ]
    assert [line["metadata"]["none"] for line in found] == [None] * 3
    assert read_job(client, made["id"])["counts"]["succeeded"] == 3
    assert read_job(client, job["id"]) == before, "an ended job never changes"
    [(stored,)] = sql("SELECT webhook_secret FROM jobs WHERE id = :job", job=UUID(made["id"]))
    assert sealed_secret.unseal_for_job(UUID(made["id"]), stored) == hook["secret"]
    assert ledger.n_deliveries(UUID(made["id"])) == 1


def test_a_job_that_is_not_a_retry_has_no_retry_of(client: TestClient) -> None:
    job = submit(client, ["abc"])
    assert (job["retry_of"], job["deduplicate"]) == (None, True)


def test_a_job_that_runs_or_has_no_failed_item_cannot_be_retried(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", TOO_LONG])
    assert (retry(client, job).status_code, retry(client, job).json()["detail"]) == (409, "the job has not ended")
    whole = submit(client, ["abc"])
    run_worker()
    assert (retry(client, whole).status_code, retry(client, whole).json()["detail"]) == (
        409,
        "no item of the job failed",
    )
    cancelled = submit(client, ["abc"])
    client.post(cancelled["links"]["cancel"])
    assert retry(client, cancelled).status_code == 409, "what never ran has not failed"
    assert len(client.get("/v1/jobs").json()["data"]) == 3


def test_a_retry_of_items_that_still_cannot_run_is_a_conflict(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", TOO_LONG])
    run_worker()
    refused = retry(client, job)
    assert refused.status_code == 409
    assert "longer than the 512 tokens" in refused.json()["detail"]
    assert "field" not in refused.json()


def test_a_retry_for_a_model_that_is_gone_is_a_conflict(
    client: TestClient, run_worker: RunWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(client, ["abc"])
    run_worker()
    fail(job, 0)
    monkeypatch.delitem(client.app.state.shared.catalog.models, "echo")  # type: ignore[attr-defined]
    assert retry(client, job).status_code == 409


def test_another_tenants_job_is_a_404(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", TOO_LONG])
    run_worker()
    client.app.dependency_overrides[auth.current] = uuid4  # type: ignore[attr-defined]
    assert retry(client, job).status_code == 404
    client.app.dependency_overrides.clear()  # type: ignore[attr-defined]
    assert client.post("/v1/jobs/none/retry").status_code == 404


def test_a_repeated_retry_request_makes_one_job(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", "de"])
    run_worker()
    fail(job, 1)
    key = {"Idempotency-Key": "a"}
    first, again = retry(client, job, **key), retry(client, job, **key)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json()["id"] == first.json()["id"]
    assert retry(client, job).json()["id"] != first.json()["id"]
    other = submit(client, ["abc"])
    assert retry(client, other, **key).status_code == 422
    assert client.post("/v1/jobs", json={"kind": "generate", "items": ["a"]}, headers=key).status_code == 422
    client.delete(job["links"]["self"])
    assert retry(client, job, **key).json()["id"] == first.json()["id"], "the job it made is still there"


def test_a_retry_can_be_retried(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, [{"id": str(n), "text": "abc"} for n in range(4)])
    run_worker()
    fail(job, 1, 2, 3)
    second = retry(client, job).json()
    run_worker()
    fail(second, 2)
    third = retry(client, second).json()
    run_worker()
    assert [line["id"] for line in results(client, third)] == ["3"]
    assert third["retry_of"] == second["id"]


def test_many_failed_items_over_many_chunks_keep_their_order(client: TestClient, run_worker: RunWorker) -> None:
    texts = [f"{n:04}" + "x" * (n * 7919 % 40) for n in range(2_500)]
    job: dict[str, Any] = {"id": str(ledger.submit(texts, chunk_items=100, shard_items=8))}
    job["links"] = read_job(client, job["id"])["links"]
    for claimed in ledger.take_all():
        ledger.put(claimed)
    failed = [n for n in range(2_500) if n % 3 and n // 100 % 2]
    fail(job, *failed)
    made = retry(client, job).json()
    run_worker()
    assert [line["output"]["text"][::-1] for line in results(client, made)] == [texts[n] for n in failed]


def test_a_job_that_is_deleted_during_its_retry_is_retried_completely(
    client: TestClient, run_worker: RunWorker
) -> None:
    job = submit(client, ["abc", "de"])
    run_worker()
    fail(job, 0, 1)
    items, _ = tables(job["id"])
    with database.engine().begin() as connection:
        found = failed_of(connection, UUID(job["id"]), auth.DEFAULT)
        assert client.delete(job["links"]["self"]).status_code == 204, "deleting does not wait"
        sweep()
        assert sum(map(len, read_failed_items(connection, found))) == 2
    sweep()
    assert sql(f"SELECT count(*) FROM {items}") == [(0,)]  # noqa: S608 - our own names
