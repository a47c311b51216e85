"""The same request under the same key makes one job, however often and however concurrently it is sent."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api.access import auth
from lengthwise import database
from lengthwise.ledger.jobs import idempotency
from tests.integration.conftest import RunWorker
from tests.ledger import sql

JOB: dict[str, Any] = {"kind": "generate", "items": ["abc", "de"]}
NDJSON = b'{"kind": "generate"}\n"abc"\n'


def post(client: TestClient, key: str | None, **request: Any) -> httpx2.Response:
    headers = request.pop("headers", {}) | ({} if key is None else {"Idempotency-Key": key})
    return client.post("/v1/jobs", headers=headers, **(request or {"json": JOB}))


def n_jobs() -> int:
    found: int = sql("SELECT count(*) FROM jobs")[0][0]
    return found


def test_a_repeated_request_is_answered_with_the_current_state_of_its_job(
    client: TestClient, run_worker: RunWorker
) -> None:
    first = post(client, "a")
    run_worker()
    again = post(client, "a")
    assert (first.status_code, again.status_code) == (202, 202)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["id"] == first.json()["id"]
    assert (first.json()["state"], again.json()["state"]) == ("queued", "completed")
    assert n_jobs() == 1


def test_a_repeated_request_shows_the_webhooks_secret_again(client: TestClient) -> None:
    job = JOB | {"webhook": {"url": "https://8.8.8.8/"}}
    first, again = post(client, "a", json=job), post(client, "a", json=job)
    assert first.json()["webhook"]["secret"].startswith("whsec_")
    assert again.json()["webhook"] == first.json()["webhook"]


def test_a_repeated_request_is_not_validated_again(client: TestClient) -> None:
    deadline = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    first = post(client, "a", json=JOB | {"deadline": deadline})
    later = datetime.fromisoformat(deadline) + timedelta(milliseconds=50) - datetime.now(UTC)
    sql("SELECT pg_sleep(:seconds)", seconds=later.total_seconds())
    again = post(client, "a", json=JOB | {"deadline": deadline})
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.parametrize(
    "other",
    [
        {"json": JOB | {"priority": "background"}},
        {"content": b'{"kind":"generate", "items": ["abc", "de"]}', "headers": {"content-type": "application/json"}},
        {"content": NDJSON, "headers": {"content-type": "application/x-ndjson"}},
    ],
    ids=["another job", "the same job in other bytes", "another form"],
)
def test_another_body_under_the_same_key_is_refused(client: TestClient, other: dict[str, Any]) -> None:
    first = post(client, "a")
    refused = post(client, "a", **other)
    assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")
    assert post(client, "b", **other).json()["id"] != first.json()["id"]
    assert n_jobs() == 2


def test_two_names_of_one_content_type_are_the_same_request(client: TestClient) -> None:
    first = post(client, "a", content=NDJSON, headers={"content-type": "application/x-ndjson"})
    again = post(client, "a", content=NDJSON, headers={"content-type": "application/jsonl; charset=utf-8"})
    assert again.json()["id"] == first.json()["id"]


def test_a_refused_request_leaves_its_key_free(client: TestClient) -> None:
    assert post(client, "a", json=JOB | {"items": []}).status_code == 422
    assert post(client, "a").status_code == 202


def test_without_a_key_every_request_makes_a_job(client: TestClient) -> None:
    assert post(client, None).json()["id"] != post(client, None).json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "CaNaRy y", "CaNaRy\x7f", "CaNaRyé".encode("latin-1")])
def test_an_invalid_key_is_refused_and_the_header_named(client: TestClient, key: Any) -> None:
    refused = client.post("/v1/jobs", json=JOB, headers={"Idempotency-Key": key})
    assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")
    assert "CaNaRy" not in refused.text
    assert n_jobs() == 0


def test_two_idempotency_keys_are_refused(client: TestClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    refused = client.post("/v1/jobs", json=JOB, headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (422, "Idempotency-Key")


def test_a_key_may_have_any_visible_character(client: TestClient) -> None:
    key = "".join(map(chr, range(0x21, 0x7F)))
    assert post(client, key).json()["id"] == post(client, key).json()["id"]
    assert post(client, "x" * 255).status_code == 202


def test_two_tenants_may_use_the_same_key(client: TestClient) -> None:
    first = post(client, "a").json()["id"]
    stranger = uuid4()
    sql("INSERT INTO tenants (id, name) VALUES (:id, 'stranger')", id=stranger)
    client.app.dependency_overrides[auth.current] = lambda: stranger  # type: ignore[attr-defined]
    theirs = post(client, "a", json=JOB | {"priority": "background"})
    assert theirs.status_code == 202
    assert theirs.json()["id"] != first


def test_a_deleted_job_frees_its_key(client: TestClient) -> None:
    first = post(client, "a").json()
    client.delete(first["links"]["self"])
    again = post(client, "a", json=JOB | {"priority": "background"})
    assert again.status_code == 202
    assert "idempotent-replayed" not in again.headers


def test_requests_at_the_same_instant_make_one_job(client: TestClient) -> None:
    at_once = Barrier(8)

    def send(_: int) -> httpx2.Response:
        at_once.wait()
        return post(client, "a")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 7
    assert n_jobs() == 1


def test_a_request_that_waits_too_long_for_another_is_a_503(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.05)
    with database.engine().begin() as connection:
        idempotency.lock(connection, auth.DEFAULT, "a")
        waited = post(client, "a")
        assert post(client, "b").status_code == 202, "another key waits for nothing"
    assert waited.status_code == 503
    assert int(waited.headers["retry-after"]) > 0
    assert "Idempotency-Key" in waited.json()["detail"]
    assert post(client, "a").status_code == 202


def test_the_unique_index_prevents_a_second_job(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other job is written without the lock, after this request looked for one and before it writes its own."""
    made = post(client, "a").json()["id"]
    real = idempotency.find
    looks = iter([False, False])
    monkeypatch.setattr(idempotency, "find", lambda *given: real(*given) if next(looks, True) else None)
    assert post(client, "a").status_code == 503
    assert post(client, "a").json()["id"] == made
    assert n_jobs() == 1


def test_only_the_wait_for_the_idempotency_lock_is_limited(client: TestClient) -> None:
    with database.engine().begin() as connection:
        before = connection.execute(text("SHOW lock_timeout")).scalar_one()
        idempotency.lock(connection, auth.DEFAULT, "a")
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == before


def listed(client: TestClient, key: str, **more: Any) -> list[str]:
    answer = client.get("/v1/jobs", params={"idempotency_key": key, **more})
    assert answer.status_code == 200, answer.text
    assert answer.json()["has_more"] is False
    return [job["id"] for job in answer.json()["data"]]


def test_a_key_finds_its_job_of_its_own_tenant_until_the_job_is_deleted(client: TestClient) -> None:
    made = post(client, "a").json()["id"]
    other = post(client, "b").json()["id"]
    assert (listed(client, "a"), listed(client, "b"), listed(client, "c")) == ([made], [other], [])
    assert listed(client, "a", after=made) == [], "there is no further page"
    sql("INSERT INTO tenants (id, name, weight) VALUES (:id, 'other', 1)", id=uuid4())
    sql("UPDATE jobs SET tenant_id = (SELECT id FROM tenants WHERE name = 'other') WHERE id = :id", id=other)
    assert listed(client, "b") == []
    client.delete(f"/v1/jobs/{made}")
    assert listed(client, "a") == []


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\x00", "é"])
def test_a_key_that_no_request_can_have_is_refused_unread(client: TestClient, key: str) -> None:
    answer = client.get("/v1/jobs", params={"idempotency_key": key})
    assert (answer.status_code, answer.json()["field"]) == (422, "idempotency_key")


def test_the_question_for_a_keys_job_waits_for_a_request_that_is_being_processed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.05)
    with database.engine().begin() as connection:
        idempotency.lock(connection, auth.DEFAULT, "a")
        waited = client.get("/v1/jobs", params={"idempotency_key": "a"})
        assert listed(client, "b") == []
    assert (waited.status_code, int(waited.headers["retry-after"]) > 0) == (503, True)
    assert listed(client, "a") == []


def test_those_who_ask_for_a_key_in_process_keep_no_connection_from_others(client: TestClient) -> None:
    def ask(_: int) -> int:
        return client.get("/v1/jobs", params={"idempotency_key": "a"}).status_code

    with ThreadPoolExecutor(30) as pool, database.engine().begin() as connection:
        idempotency.lock(connection, auth.DEFAULT, "a")
        asking = [pool.submit(ask, number) for number in range(30)]
        others = [client.get("/v1/jobs").status_code for _ in range(20)]
        assert {each.result() for each in asking} == {503}
    assert others == [200] * 20
