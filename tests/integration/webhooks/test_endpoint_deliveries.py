"""Deliveries to endpoints: contents, signatures, disabling of failing endpoints, resending."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import openai
import pytest
from openai.types.webhooks import BatchCompletedWebhookEvent
from standardwebhooks.webhooks import Webhook
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.ledger.webhooks import event
from tests.integration.conftest import RunWorker, submit
from tests.integration.webhooks.hooks import (
    PATH,
    Answers,
    deliveries,
    id_of,
    is_signed_by,
    make_due,
    register,
    shown,
    status,
)
from tests.integration.webhooks.test_http_attempt import ScriptedReceiver
from tests.ledger import is_delivery_noted, knobs, sql

pytestmark = pytest.mark.usefixtures("reachable")


@pytest.fixture
def script() -> Answers:
    return Answers(status(200))


@pytest.fixture
def receiver(script: Answers) -> Iterator[ScriptedReceiver]:
    with ScriptedReceiver(script) as made:
        yield made


def types(script: Answers) -> list[str]:
    return [json.loads(body)["type"] for _, body in script.received]


def end_jobs(client: TestClient, run_worker: RunWorker) -> None:
    """Completes one job and cancels another."""
    submit(client, ["abc"])
    run_worker()
    client.post(submit(client, ["abc"])["links"]["cancel"])


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (["job.completed"], ["job.completed"]),
        (["job.*"], ["job.cancelled", "job.completed", "job.results"]),
        (["job.cancelled", "job.expired"], ["job.cancelled"]),
        (["batch.*"], []),
    ],
)
def test_an_endpoint_gets_the_events_it_subscribed_to(
    client: TestClient,
    run_worker: RunWorker,
    script: Answers,
    receiver: ScriptedReceiver,
    events: list[str],
    told: list[str],
    deliver: Callable[[], None],
) -> None:
    endpoint = register(client, receiver.url(), *events)
    end_jobs(client, run_worker)
    deliver()
    assert sorted(types(script)) == told
    for headers, body in script.received:
        Webhook(endpoint["secret"]).verify(body, headers)
        assert is_signed_by(endpoint["public_key"], headers, body)
    assert {each["state"] for each in deliveries(client, endpoint)} <= {"delivered"}


def test_a_jobs_own_webhook_and_endpoints_get_the_same_event(
    client: TestClient, run_worker: RunWorker, script: Answers, receiver: ScriptedReceiver, deliver: Callable[[], None]
) -> None:
    register(client, receiver.url("/one"), "job.completed")
    register(client, receiver.url("/two"), "job.completed")
    submit(client, ["abc"], webhook={"url": receiver.url("/own")})
    run_worker()
    deliver()
    assert types(script) == ["job.completed"] * 3
    assert len({json.loads(body)["data"]["id"] for _, body in script.received}) == 1
    assert len({headers["webhook-id"] for headers, _ in script.received}) == 3


def test_during_a_rotation_both_secrets_sign_and_then_the_new_one_alone(
    client: TestClient, script: Answers, receiver: ScriptedReceiver, deliver: Callable[[], None]
) -> None:
    old = register(client, receiver.url())
    new = client.post(f"{PATH}/{old['id']}/rotate", json={"overlap_seconds": 3600}).json()
    assert new["secret"] != old["secret"]
    assert new["old_secret_until"] is not None
    for is_over in (False, True):
        if is_over:
            sql("UPDATE webhook_endpoints SET old_until = now() - interval '1 second'")
        client.post(f"{PATH}/{old['id']}/test")
        deliver()
        headers, body = script.received[-1]
        Webhook(new["secret"]).verify(body, headers)
        assert is_signed_by(new["public_key"], headers, body)
        assert is_signed_by(old["public_key"], headers, body) is not is_over
        assert len(headers["webhook-signature"].split()) == (2 if is_over else 4)
    assert shown(client, old)["old_secret_until"] is None


def test_the_openai_sdk_verifies_and_types_the_end_of_a_batch(
    client: TestClient, script: Answers, receiver: ScriptedReceiver, deliver: Callable[[], None]
) -> None:
    endpoint = register(client, receiver.url(), "batch.*")
    job = UUID(submit(client, ["abc"])["id"])
    with database.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'completed', kind = 'chat.completions'")
        event.announce_end(connection, [job])
        assert is_delivery_noted(connection)
    deliver()
    [(headers, body)] = script.received
    sdk = openai.OpenAI(api_key="unused", webhook_secret=endpoint["secret"])
    told = sdk.webhooks.unwrap(body, headers)
    assert isinstance(told, BatchCompletedWebhookEvent)
    assert (told.type, told.data.id, told.object) == ("batch.completed", f"batch_{job.hex}", "event")
    assert json.loads(body).keys() == {"id", "object", "created_at", "type", "data"}
    assert json.loads(body)["data"] == {"id": f"batch_{job.hex}"}
    forged = dict(headers) | {"webhook-id": "msg_other"}
    with pytest.raises(openai.InvalidWebhookSignatureError):
        sdk.webhooks.unwrap(body, forged)


def send_one(client: TestClient, endpoint: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"{PATH}/{endpoint['id']}/test")
    assert answer.status_code == 202
    found: dict[str, Any] = answer.json()
    return found


def test_a_410_disables_the_endpoint_and_keeps_its_pending_deliveries(
    client: TestClient, deliver: Callable[[], None]
) -> None:
    script = Answers(status(503), status(410), status(200))
    with ScriptedReceiver(script) as receiver:
        endpoint = register(client, receiver.url())
        send_one(client, endpoint)
        deliver()
        assert shown(client, endpoint)["failing_since"] is not None
        send_one(client, endpoint)
        deliver()
        found = shown(client, endpoint)
        assert (found["enabled"], found["disabled_reason"]) == (False, "the receiver answered 410 Gone")
        assert [each["state"] for each in deliveries(client, endpoint)] == ["failed", "failed"]
        assert client.post(f"{PATH}/{endpoint['id']}/test").status_code == 409
        client.post(submit(client, ["abc"])["links"]["cancel"])
        make_due()
        deliver()
        assert len(script.received) == 2
        assert len(deliveries(client, endpoint, state="failed")) == 3, "what it misses is kept"


def test_an_endpoint_that_fails_for_days_is_disabled_and_can_be_replayed(
    client: TestClient, deliver: Callable[[], None]
) -> None:
    script = Answers(status(500), status(500), status(200))
    with ScriptedReceiver(script) as receiver:
        endpoint = register(client, receiver.url())
        first = send_one(client, endpoint)
        deliver()
        assert shown(client, endpoint)["enabled"]
        sql("UPDATE webhook_endpoints SET failing_since = now() - interval '5 days'")
        make_due()
        deliver()
        found = shown(client, endpoint)
        assert (found["enabled"], found["disabled_reason"]) == (False, "every attempt failed for 5 days")
        path = f"{PATH}/{endpoint['id']}/replay"
        assert client.post(path, json={"since": "2026-01-01T00:00:00Z"}).status_code == 409
        client.patch(f"{PATH}/{endpoint['id']}", json={"enabled": True})
        since = datetime.now(UTC) - timedelta(hours=1)
        assert client.post(path, json={"since": since.isoformat()}).json() == {"replayed": 1, "next_since": None}
        deliver()
    assert {headers["webhook-id"] for headers, _ in script.received} == {id_of(first)}
    [again] = deliveries(client, endpoint)
    assert (again["state"], [each["status"] for each in again["attempts"]]) == ("delivered", [500, 500, 200])
    assert shown(client, endpoint)["failing_since"] is None


def test_one_success_resets_the_time_of_failure(client: TestClient, deliver: Callable[[], None]) -> None:
    with ScriptedReceiver(Answers(status(500), status(200))) as receiver:
        endpoint = register(client, receiver.url())
        send_one(client, endpoint)
        deliver()
        make_due()
        deliver()
    assert shown(client, endpoint)["failing_since"] is None


def test_a_resent_delivery_keeps_its_id_and_restarts_its_schedule(
    client: TestClient, deliver: Callable[[], None]
) -> None:
    script = Answers(status(200), status(500))
    with ScriptedReceiver(script) as receiver:
        sent = send_one(client, register(client, receiver.url()))
        deliver()
        sql("UPDATE deliveries SET attempts = 11")
        again = client.post(f"/v1/deliveries/{sent['id']}/resend")
        assert (again.status_code, again.json()["state"]) == (202, "pending")
        deliver()
    assert {headers["webhook-id"] for headers, _ in script.received} == {id_of(sent)}
    assert script.received[0][1] == script.received[1][1]
    found = client.get(f"/v1/deliveries/{sent['id']}").json()
    assert (found["state"], [each["n"] for each in found["attempts"]]) == ("pending", [1, 12])
    assert found["attempts"][1]["response"] == "ok"


def test_a_replay_sends_the_deliveries_written_since_a_time(
    client: TestClient, script: Answers, receiver: ScriptedReceiver, deliver: Callable[[], None]
) -> None:
    endpoint = register(client, receiver.url())
    sent = [send_one(client, endpoint) for _ in range(3)]
    deliver()
    sql("UPDATE deliveries SET created_at = created_at - interval '1 day' WHERE id = :id", id=UUID(sent[0]["id"]))
    sql("UPDATE deliveries SET state = 'failed' WHERE id = :id", id=UUID(sent[1]["id"]))
    path = f"{PATH}/{endpoint['id']}/replay"
    since = sent[1]["created_at"]
    assert client.post(path, json={"since": since, "only_failed": True}).json()["replayed"] == 1
    deliver()
    assert client.post(path, json={"since": since}).json()["replayed"] == 2
    deliver()
    got = [headers["webhook-id"] for headers, _ in script.received[3:]]
    assert (got[0], sorted(got[1:])) == (id_of(sent[1]), sorted(map(id_of, sent[1:])))


def test_pending_deliveries_go_to_the_new_url(
    client: TestClient, script: Answers, receiver: ScriptedReceiver, deliver: Callable[[], None]
) -> None:
    with ScriptedReceiver(Answers(status(500))) as old:
        endpoint = register(client, old.url())
        send_one(client, endpoint)
        deliver()
    client.patch(f"{PATH}/{endpoint['id']}", json={"url": receiver.url("/new")})
    make_due()
    deliver()
    assert len(script.received) == 1
    assert deliveries(client, endpoint)[0]["url"] == receiver.url("/new")


def test_without_its_master_key_nothing_is_sent_and_no_attempt_counts(
    client: TestClient,
    script: Answers,
    receiver: ScriptedReceiver,
    monkeypatch: pytest.MonkeyPatch,
    deliver: Callable[[], None],
) -> None:
    sent = send_one(client, register(client, receiver.url()))
    with monkeypatch.context() as patch:
        knobs(patch, master_key="A" * 43 + "=")
        deliver()
    knobs(monkeypatch)
    assert script.received == []
    assert client.get(f"/v1/deliveries/{sent['id']}").json()["attempts"] == []
    make_due()
    deliver()
    assert len(script.received) == 1


def test_deliveries_to_an_endpoint_being_deleted_are_dropped_and_to_one_being_disabled_kept(
    client: TestClient, deliver: Callable[[], None]
) -> None:
    with ScriptedReceiver(Answers(status(200))) as receiver:
        gone, disabled = register(client, receiver.url()), register(client, receiver.url())
        for each in (gone, disabled):
            send_one(client, each)
        sql("DELETE FROM webhook_endpoints WHERE id = :id", id=UUID(gone["id"]))
        sql("UPDATE webhook_endpoints SET is_enabled = false")
        deliver()
        assert receiver.connections == 0
    assert sql("SELECT endpoint_id, state FROM deliveries") == [(UUID(disabled["id"]), "failed")]
