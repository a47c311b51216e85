"""Bells: their configuration, and that a broker that is away delays and fails no caller."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from lengthwise import queue, settings
from lengthwise.errors import ConfigurationError
from tests.ledger import knobs

POOL = "demo-zh:0123456789ab"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    queue.forget()
    yield
    queue.forget()
    settings.get.cache_clear()


@pytest.fixture
def hole() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refusing() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_a_half_open_broker_neither_stalls_a_worker_nor_costs_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    knobs(monkeypatch, redis_url="redis://127.0.0.1:1/0")
    options = queue.app().conf.broker_transport_options
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 2
    assert options["socket_keepalive"] is options["retry_on_timeout"] is True
    assert options["health_check_interval"] == 3


def test_a_worker_looks_for_a_broker_that_is_away_every_second_however_long_it_is_away(
    monkeypatch: pytest.MonkeyPatch, refusing: int
) -> None:
    knobs(monkeypatch, redis_url=f"redis://127.0.0.1:{refusing}/0")
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    pauses: list[float] = []
    with queue.app().connection_for_read() as connection, pytest.raises(OperationalError):
        connection.ensure_connection(lambda _, pause: pauses.append(pause), 100)
    assert pauses == [1.0] * 100


def test_messages_are_taken_one_at_a_time_and_have_no_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    knobs(monkeypatch, redis_url="redis://127.0.0.1:1/0")
    conf = queue.app().conf
    assert conf.task_acks_late
    assert conf.worker_disable_prefetch
    assert conf.task_ignore_result
    assert conf.result_backend is None
    assert not conf.task_reject_on_worker_lost
    assert conf.accept_content == ["json"]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
@pytest.mark.parametrize("place", ["hole", "refusing"])
def test_ringing_a_broker_that_is_away_is_logged_and_ends_soon(
    scheme: str, place: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    knobs(monkeypatch, redis_url=f"{scheme}://127.0.0.1:{request.getfixturevalue(place)}//")
    queue.app()
    began = time.monotonic()
    assert queue.ring(queue.GENERATE, [POOL], times=5) is False
    assert time.monotonic() - began < 4  # one try of 2 s
    assert [record.message for record in caplog.records if record.name == "lengthwise.queue"] == [
        "a bell was not rung (OperationalError); the sweep will ring it"
    ]


def test_a_missing_broker_url_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LENGTHWISE_REDIS_URL", raising=False)
    settings.get.cache_clear()
    with pytest.raises(ConfigurationError, match="LENGTHWISE_REDIS_URL"):
        queue.ring(queue.DELIVER)


def test_the_ringing_app_has_the_brokers_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery replaces the password in a copy of its configuration."""
    monkeypatch.setenv("LENGTHWISE_REDIS_URL", "redis://:pa55word@broker.example/0")
    settings.get.cache_clear()
    queue.forget()
    assert queue._ringing().conf.broker_url == "redis://:pa55word@broker.example/0"
    assert queue._ringing().connection_for_write().password == "pa55word"
