"""What every broker must do: Redis always, RabbitMQ too if ``LENGTHWISE_TEST_AMQP_URL`` names one."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from lengthwise import queue, settings
from lengthwise.settings import Settings
from tests.faults.proxy import Mode, Proxy
from tests.ledger import POOL, knobs, outputs, state, submit
from tests.servers import REDIS_VARIABLE, Urls, wait_until
from tests.workers import sweep, worker

AMQP_VARIABLE = "LENGTHWISE_TEST_AMQP_URL"


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(
    request: pytest.FixtureRequest, catalog: Path, installed: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    if request.param == "rabbitmq":
        if AMQP_VARIABLE not in os.environ:
            pytest.skip(f"{AMQP_VARIABLE} names no RabbitMQ that tests may use")
        monkeypatch.setenv(REDIS_VARIABLE, os.environ[AMQP_VARIABLE])
    knobs(monkeypatch, models=catalog)
    queue.forget()
    yield
    queue.app().control.purge()


@pytest.mark.usefixtures("broker")
def test_bells_wait_for_a_worker_that_then_runs_all_work(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(500)]
    rung, silent = submit(texts), submit(["never rung"], pool="echo:other")
    assert queue.ring(queue.GENERATE, [POOL], times=3)
    wait_until(lambda: queue.waiting_bells(queue.GENERATE) == {queue.GENERATE: 3})
    folder = tmp_path / "logs"
    folder.mkdir()
    with worker("generate", folder):
        wait_until(lambda: state(rung) == state(silent) == "completed")
        assert len(outputs(rung)) == 500
        wait_until(lambda: queue.waiting_bells(queue.GENERATE) == {queue.GENERATE: 0})
        missed = submit(texts)
        sweep()
        wait_until(lambda: state(missed) == "completed")


@pytest.mark.usefixtures("broker")
def test_a_sweep_does_not_ring_while_enough_bells_wait() -> None:
    submit(["x"])
    for _ in range(queue.MAX_BELLS + 3):
        sweep()
    wait_until(lambda: queue.waiting_bells(queue.GENERATE) == {queue.GENERATE: queue.MAX_BELLS})


@pytest.mark.usefixtures("broker")
def test_however_much_is_submitted_few_bells_wait_and_once_they_are_heard_others_ring() -> None:
    for _ in range(20):
        assert queue.ring(queue.GENERATE, [POOL], times=3)
    assert queue.waiting_bells(queue.GENERATE) == {queue.GENERATE: queue.MAX_BELLS}
    queue.app().control.purge()
    assert queue.ring(queue.GENERATE, ["echo:other"], times=3)
    assert queue.waiting_bells(queue.GENERATE) == {queue.GENERATE: 3}


def test_a_broker_that_is_away_counts_no_bells_and_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"):
        monkeypatch.setenv(REDIS_VARIABLE, url)
        settings.get.cache_clear()
        queue.forget()
        assert queue.ring(queue.GENERATE, [POOL]) is False
        assert queue.waiting_bells(queue.GENERATE) is None
    settings.get.cache_clear()
    queue.forget()


def count_answering(count: int) -> int:
    """Uses ``count`` ringing connections at once. Returns how many of them reach the broker."""
    connections = queue._ringing().pool
    n_answering = 0
    for connection in [connections.acquire() for _ in range(count)]:
        with suppress(redis.TimeoutError), connection.default_channel.conn_or_acquire() as client:
            n_answering += client.ping()
        connection.release()
    return n_answering


def test_after_one_dead_connection_later_rings_use_fresh_ones(servers: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _, number = servers.redis.removeprefix("redis+socket://").partition("?virtual_host=")
    if not number:
        pytest.skip("needs an embedded Redis, whose socket can be cut off")
    with Proxy(Path(path)) as proxy:
        monkeypatch.setenv(REDIS_VARIABLE, f"redis://127.0.0.1:{proxy.port}/{number}")
        settings.get.cache_clear()
        queue.forget()
        assert count_answering(3) == 3
        proxy.switch(Mode.HALF_OPEN)
        proxy.switch(Mode.PASS)
        assert queue.ring(queue.GENERATE, [POOL]) is False
        assert queue.ring(queue.GENERATE, [POOL])
        assert count_answering(3) == 3
    settings.get.cache_clear()
    queue.forget()
