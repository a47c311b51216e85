"""Deliveries to real receivers on loopback: signed, recorded, retried, and never twice at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from standardwebhooks.webhooks import Webhook

from lengthwise import database
from lengthwise.ledger.webhooks import delivery, delivery_log
from lengthwise.states import DeliveryState
from tests.integration.webhooks.hooks import Answers, make_due, status
from tests.integration.webhooks.test_http_attempt import ScriptedReceiver, answering
from tests.ledger import knobs, must_take, put, sql, submit
from worker.delivery import deliver as worker_deliver
from worker.delivery.outcome import DELAYS, AttemptOutcome
from worker.delivery.signing import new_secret
from worker.process import Worker

SECRET = new_secret()


pytestmark = pytest.mark.usefixtures("reachable")


def ended(url: str) -> UUID:
    """A job that has just ended, with a webhook to ``url``."""
    job = submit(["x"], webhook=(url, SECRET))
    put(must_take())
    return job


def delivery_of(job: UUID) -> dict[str, Any]:
    """The job's delivery with its attempts."""
    with database.engine().begin() as connection:
        [found] = delivery_log.list_for_job(connection, job)
    return found


def test_an_event_arrives_and_verifies(deliver: Callable[[], None]) -> None:
    script = Answers(status(200))
    with ScriptedReceiver(script) as receiver:
        job = ended(receiver.url())
        deliver()
    [(headers, body)] = script.received
    event = Webhook(SECRET).verify(body, headers)
    assert (event["type"], event["data"]["id"]) == ("job.completed", str(job))
    assert event["data"]["counts"]["succeeded"] == 1
    found = delivery_of(job)
    assert (found["state"], found["next_attempt_at"]) == ("delivered", None)
    assert found["finished_at"] is not None
    assert [(each["n"], each["status"], each["error"]) for each in found["attempts"]] == [(1, 200, None)]
    assert sql("SELECT response FROM attempts") == [("ok",)]


def test_an_attempt_is_stamped_by_the_databases_clock_and_the_time_since_its_claim(
    deliver: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_post = worker_deliver._post

    def held(due: delivery.DueDelivery, timestamp: int) -> AttemptOutcome:
        """Sends as if the database's clock were a day behind, and the attempt had waited for a minute."""
        off = replace(due, claimed_at=due.claimed_at - timedelta(days=1), received_at=due.received_at - 60)
        assert abs((due.now() - off.now()).total_seconds() - 86_400 + 60) < 0.1
        assert timestamp == pytest.approx(due.now().timestamp(), abs=2)
        return real_post(due, timestamp)

    monkeypatch.setattr(worker_deliver, "_post", held)
    with ScriptedReceiver(Answers(status(200))) as receiver:
        job = ended(receiver.url())
        deliver()
    assert delivery_of(job)["state"] == "delivered"
    assert sql("SELECT started_at BETWEEN now() - interval '1 minute' AND now() FROM attempts") == [(True,)]


def test_a_failed_attempt_is_retried_under_the_same_id(deliver: Callable[[], None]) -> None:
    script = Answers(status(500), status(503), status(204))
    with ScriptedReceiver(script) as receiver:
        job = ended(receiver.url())
        for n in (1, 2):
            deliver()
            assert len(script.received) == n
            found = delivery_of(job)
            assert (found["state"], found["finished_at"]) == ("pending", None)
            [(seconds,)] = sql("SELECT extract(epoch FROM next_attempt_at - now())::float8 FROM deliveries")
            assert 0.5 * DELAYS[n - 1] - 2 < seconds < 1.3 * DELAYS[n - 1]
            deliver()  # not due yet
            assert len(script.received) == n
            make_due()
        deliver()
    assert len({headers["webhook-id"] for headers, _ in script.received}) == 1
    for headers, body in script.received:
        Webhook(SECRET).verify(body, headers)
    assert [(each["n"], each["status"]) for each in delivery_of(job)["attempts"]] == [(1, 500), (2, 503), (3, 204)]
    assert delivery_of(job)["state"] == "delivered"


def test_a_receiver_that_answers_410_gets_one_attempt(deliver: Callable[[], None]) -> None:
    with ScriptedReceiver(Answers(status(410))) as receiver:
        job = ended(receiver.url())
        deliver()
        make_due()
        deliver()
        assert receiver.connections == 1
    assert (delivery_of(job)["state"], len(delivery_of(job)["attempts"])) == ("failed", 1)


def test_a_delivery_whose_schedule_ran_out_has_failed(deliver: Callable[[], None]) -> None:
    with ScriptedReceiver(Answers(status(500))) as receiver:
        job = ended(receiver.url())
        sql("UPDATE deliveries SET attempts = :done", done=len(DELAYS) - 1)
        deliver()
        assert delivery_of(job)["state"] == "pending"
        make_due()
        deliver()
    assert delivery_of(job)["state"] == "failed"
    assert [each["n"] for each in delivery_of(job)["attempts"]] == [len(DELAYS), len(DELAYS) + 1]


def test_a_redirect_is_not_followed(deliver: Callable[[], None]) -> None:
    with ScriptedReceiver(Answers(status(200))) as inside:
        with ScriptedReceiver(Answers(status(302, b"Location: %b\r\n" % inside.url().encode()))) as receiver:
            job = ended(receiver.url())
            deliver()
        assert inside.connections == 0
    assert delivery_of(job)["state"] == "pending"
    assert [(each["status"], each["error"]) for each in delivery_of(job)["attempts"]] == [(302, "redirect")]


def test_a_forbidden_address_is_recorded_and_not_dialled(
    monkeypatch: pytest.MonkeyPatch, deliver: Callable[[], None]
) -> None:
    knobs(monkeypatch, webhook_allowed_networks="")
    with ScriptedReceiver(Answers(status(200))) as receiver:
        job = ended(receiver.url())
        deliver()
        assert receiver.connections == 0
    assert delivery_of(job)["state"] == "pending"
    assert [(each["status"], each["error"]) for each in delivery_of(job)["attempts"]] == [(None, "forbidden_address")]


@pytest.fixture
def four_threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def test_concurrent_deliverers_send_each_delivery_once(
    four_threads: ThreadPoolExecutor, deliver: Callable[[], None]
) -> None:
    script = Answers(status(200))
    with ScriptedReceiver(script) as receiver:
        jobs = [ended(receiver.url()) for _ in range(20)]
        list(four_threads.map(lambda _: deliver(), range(4)))
    assert len({headers["webhook-id"] for headers, _ in script.received}) == len(script.received) == 20
    assert {delivery_of(job)["state"] for job in jobs} == {"delivered"}


def test_a_dead_deliverers_deliveries_are_due_again_and_its_record_is_refused(deliver: Callable[[], None]) -> None:
    script = Answers(status(200))
    with ScriptedReceiver(script) as receiver:
        job = ended(receiver.url())
        token = uuid4()
        with database.engine().begin() as connection:
            [held], _ = delivery.claim_due(connection, token, limit=1, lane_limit=1, hold_seconds=60)
        deliver()
        assert script.received == []
        make_due()
        deliver()
    assert len(script.received) == 1
    [(started_at, seconds)] = sql("SELECT started_at, seconds FROM attempts")
    late = delivery.DeliveryAttempt(started_at, seconds, 500, None, "")
    with database.engine().begin() as connection:
        assert not delivery.record(connection, held, token, late, DeliveryState.PENDING, 5.0, 1e9)
    assert (delivery_of(job)["state"], len(delivery_of(job)["attempts"])) == ("delivered", 1)


def test_a_stopping_deliverer_claims_nothing() -> None:
    worker = Worker()
    worker.shutdown.begin()
    with ScriptedReceiver(answering(status(200))) as receiver:
        ended(receiver.url())
        worker.deliver()
        assert receiver.connections == 0
