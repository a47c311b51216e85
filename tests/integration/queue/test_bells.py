"""Bells through a real broker to a real Celery worker; losing them costs seconds."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lengthwise import queue
from lengthwise.settings import Settings
from tests.ledger import POOL, knobs, outputs, sql, state, submit
from tests.servers import redis_client, wait_until
from tests.workers import sweep, worker

pytestmark = pytest.mark.usefixtures("catalog", "installed")


def waiting(redis_url: str, name: str) -> list[dict[str, Any]]:
    """The messages that wait on the broker."""
    with redis_client(redis_url) as client:
        return [json.loads(message) for message in client.lrange(name, 0, -1)]


def test_a_message_holds_its_pools_name_and_no_text(redis_url: str) -> None:
    submit(["a secret text"], pool=POOL)
    assert queue.ring(queue.GENERATE, [POOL], times=3)
    messages = waiting(redis_url, "generate")
    assert len(messages) == 3
    for message in messages:
        arguments, keywords, _ = json.loads(base64.b64decode(message["body"]))
        assert (arguments, keywords) == ([POOL], {})
        assert message["headers"]["task"] == "generate"
        assert "secret" not in json.dumps(message)


def test_one_submission_wakes_a_bounded_number_of_workers(redis_url: str) -> None:
    assert queue.ring(queue.GENERATE, [POOL], times=10_000)
    assert len(waiting(redis_url, "generate")) == queue.MAX_BELLS


def test_a_sweep_rings_once_for_each_waiting_pool_and_for_deliveries(redis_url: str) -> None:
    for pool in ("echo:a", "echo:b"):
        submit(["x"] * 200, pool=pool)
    submit(["x"], pool="echo:later")
    sql("UPDATE shards SET not_before = now() + interval '1 hour' WHERE pool = 'echo:later'")
    sweep()
    bodies = [json.loads(base64.b64decode(message["body"])) for message in waiting(redis_url, "generate")]
    assert sorted(body[0] for body in bodies) == [["echo:a"], ["echo:b"]]
    assert waiting(redis_url, "deliver") == []


def test_ringing_works_after_the_broker_was_flushed(redis_url: str) -> None:
    assert queue.ring(queue.GENERATE, [POOL])
    with redis_client(redis_url) as client:
        client.flushdb()
        client.client_kill_filter(_type="normal", skipme=True)
    wait_until(lambda: queue.ring(queue.GENERATE, [POOL]))
    assert len(waiting(redis_url, "generate")) == 1


@pytest.fixture
def running(catalog: Path, installed: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    folder = tmp_path / "logs"
    folder.mkdir()
    knobs(monkeypatch, models=catalog)
    with worker("generate", folder):
        yield


@pytest.mark.usefixtures("running")
def test_a_worker_drains_the_pools_that_rang_and_the_sweep_replaces_a_lost_bell(redis_url: str) -> None:
    texts = [f"text {number}" for number in range(500)]
    job = submit(texts)
    assert queue.ring(queue.GENERATE, [POOL])
    wait_until(lambda: state(job) == "completed", 60)
    assert {index: line["output"]["text"] for index, line in outputs(job).items()} == {
        index: text[::-1] for index, text in enumerate(texts)
    }
    silent = submit(texts)  # as if its bell had been lost
    with redis_client(redis_url) as client:
        client.flushdb()
    assert state(silent) == "open"
    sweep()
    wait_until(lambda: state(silent) == "completed", 60)


GARBAGE = [
    b"",
    b"\xff\xfe junk",
    b"{}",
    b"[]",
    b"null",
    b'{"body": "W10=", "headers": {"task": "generate", "id": "x"}, "properties": {}}',
    b'{"body": "!", "headers": {"task": "generate", "id": "x"}, "properties": {"body_encoding": "base64"}}',
    b'{"body": "bnVsbA==", "content-type": "application/json", "content-encoding": "utf-8", "headers": {"task":'
    b' "generate", "id": "x", "lang": "py"}, "properties": {"body_encoding": "base64", "delivery_tag": "1",'
    b' "delivery_info": {"exchange": "", "routing_key": "generate"}}}',
    b'{"body": "W10=", "content-type": "application/json", "content-encoding": "utf-8", "headers": {"task":'
    b' "unheard-of", "id": "x", "lang": "py"}, "properties": {"body_encoding": "base64", "delivery_tag": "1",'
    b' "delivery_info": {"exchange": "", "routing_key": "generate"}}}',
]


@pytest.mark.usefixtures("running")
def test_garbage_on_the_broker_is_dropped_and_later_bells_arrive(redis_url: str) -> None:
    with redis_client(redis_url) as client:
        for junk in GARBAGE:
            client.lpush("generate", junk)
        job = submit(["text"])
        assert queue.ring(queue.GENERATE, [POOL])
        wait_until(lambda: state(job) == "completed", 60)
        assert client.llen("generate") == 0


@pytest.mark.usefixtures("running")
def test_a_received_bell_leaves_nothing_on_the_broker(redis_url: str) -> None:
    job = submit(["text"])
    with redis_client(redis_url) as client:
        client.config_resetstat()
        assert queue.ring(queue.GENERATE, [POOL], times=5)
        wait_until(lambda: state(job) == "completed" and client.llen("generate") == 0, 60)
        assert client.keys("unacked*") == []
        used = set(client.info("commandstats"))
    assert not used & {"cmdstat_zadd", "cmdstat_hset", "cmdstat_zrem", "cmdstat_hdel"}, used
