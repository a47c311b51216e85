"""Submission: what callers may send, what is answered, and what happens while servers are away."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise import database, queue, settings
from lengthwise.settings import Settings
from tests.caller import calling
from tests.integration.conftest import RunWorker, read_job, submit

#: A port at which nothing listens.
DEAD = "127.0.0.1:1"


def ndjson(*objects: Any) -> bytes:
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in objects)


def results(client: TestClient, job_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.get(f"/v1/jobs/{job_id}/results").text.splitlines()]


@pytest.mark.parametrize("form", ["application/x-ndjson", "application/jsonl; charset=utf-8"])
def test_ndjson_makes_the_same_job_as_json(client: TestClient, run_worker: RunWorker, form: str) -> None:
    head = {"kind": "translate", "source": "zh", "target": "en", "priority": "background"}
    items = [{"id": "a", "text": "我吃了一个苹果。"}, "你好", {"text": "no", "metadata": {"n": [1, None]}}]
    whole = submit(client, items, **head)
    body = ndjson(head) + b"\n" + ndjson(*items).replace(b"\n", b"\r\n\n")
    streamed = client.post("/v1/jobs", content=body.removesuffix(b"\r\n\n"), headers={"content-type": form})
    run_worker()

    assert streamed.status_code == 202
    same = ("kind", "model", "params", "priority", "counts", "state", "webhook", "usage")
    assert {name: streamed.json()[name] for name in same} == {name: whole[name] for name in same}
    assert results(client, streamed.json()["id"]) == results(client, whole["id"])


def test_the_answer_names_the_job_and_where_it_is(client: TestClient) -> None:
    answer = client.post("/v1/jobs", json={"kind": "generate", "items": ["abc", "defg"]})
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert job["counts"] == {"total": 2, "pending": 2, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0}
    assert (job["object"], job["state"], job["model"], job["webhook"]) == ("job", "queued", "echo", None)
    assert client.get(job["links"]["self"]).json()["id"] == job["id"]


def test_each_item_may_name_its_own_languages(client: TestClient, run_worker: RunWorker) -> None:
    items = [{"text": "abc"}, {"text": "abcd", "source": "en", "target": "de"}, "ab"]
    job = submit(client, items, kind="translate", source="zh", target="en")
    run_worker()
    lines = results(client, job["id"])
    assert [line["output"]["text"] for line in lines] == ["cba", "dcba", "ba"]
    assert read_job(client, job["id"])["counts"]["succeeded"] == 3


def test_ids_and_metadata_come_back_unchanged(client: TestClient, run_worker: RunWorker) -> None:
    metadata = {"null": None, "big": 10**30, "deep": [[[{"é\x00": 0.1}]]], "": "😀", "true": True}
    job = submit(client, [{"id": '我 / "1"', "text": "abc", "metadata": metadata}, {"text": "d", "metadata": {}}, "e"])
    run_worker()
    first, second, third = results(client, job["id"])
    assert (first["id"], first["metadata"]) == ('我 / "1"', metadata)
    assert "id" not in second
    assert second["metadata"] == {}
    assert "metadata" not in third


def test_metadata_may_be_nested_as_deep_as_json(client: TestClient, run_worker: RunWorker) -> None:
    deep: Any = "x"
    for _ in range(190):
        deep = [deep]
    job = submit(client, [{"text": "abc", "metadata": {"deep": deep}}])
    run_worker()
    assert results(client, job["id"])[0]["metadata"] == {"deep": deep}


@pytest.mark.parametrize("name", ["interactive", "normal", "background"])
def test_a_priority_and_a_deadline_are_stored(client: TestClient, name: str) -> None:
    deadline = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    job = submit(client, ["abc"], priority=name, deadline=deadline.isoformat())
    shown = read_job(client, job["id"])
    assert shown["priority"] == name
    assert datetime.fromisoformat(shown["deadline_at"]) == deadline


def test_a_job_may_name_its_model(client: TestClient) -> None:
    known = client.get("/v1/models").json()["data"]
    assert [(model["id"], model["kinds"]) for model in known] == [("echo", ["translate", "generate"])]
    assert known[0]["languages"] == [["zh", "en"], ["en", "de"]]
    assert known[0]["context"] == 512
    assert submit(client, ["abc"], model="echo")["model"] == "echo"


def test_a_webhooks_secret_is_shown_once(client: TestClient) -> None:
    url = "https://8.8.8.8/hook?token=1"
    made = submit(client, ["abc"], webhook={"url": url})
    given = submit(client, ["abc"], webhook={"url": url, "secret": "whsec_" + "A" * 43 + "="})
    assert made["webhook"]["secret"].startswith("whsec_")
    assert given["webhook"] == {"url": url, "secret": "whsec_" + "A" * 43 + "="}
    for job in (made, given):
        assert read_job(client, job["id"])["webhook"] == {"url": url}
        pages = [job["links"]["self"], job["links"]["deliveries"], job["links"]["results"], "/v1/jobs"]
        assert not any("whsec_" in client.get(page).text for page in pages)
        assert "whsec_" not in client.post(job["links"]["cancel"]).text


def test_a_text_of_placeholders_alone_needs_no_model(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["{name}", "   "], kind="translate", source="zh", target="en")
    run_worker()
    assert [line["status"] for line in results(client, job["id"])] == ["succeeded", "succeeded"]


def test_health_and_readiness_differ(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").status_code == 200


def test_without_postgres_the_api_answers_with_retry_after(catalog: object, installed: Settings) -> None:
    dead = installed.model_copy(update={"database_url": f"postgresql://nobody@{DEAD}/none"})
    with calling(create_app(dead), raise_server_exceptions=False) as client:
        paths = ["/readyz", "/v1/jobs", "/v1/jobs/00000000-0000-0000-0000-000000000001/results"]
        answers = [client.get(path) for path in paths]
        answers.append(client.post("/v1/jobs", json={"kind": "generate", "items": ["abc"]}))
        assert client.get("/healthz").status_code == 200
    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert DEAD not in answer.text


def test_an_unmigrated_database_is_not_ready(client: TestClient) -> None:
    with database.engine().begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO elsewhere")
    assert client.get("/readyz").status_code == 503


def test_without_redis_a_job_is_accepted_and_no_text_is_logged(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LENGTHWISE_REDIS_URL", f"redis://{DEAD}/0")
    settings.get.cache_clear()
    queue.forget()
    job = submit(client, ["Canary"])
    assert read_job(client, job["id"])["state"] == "queued"
    assert "lengthwise.queue" in {record.name for record in caplog.records}, "a bell was rung"
    assert "Canary" not in caplog.text
