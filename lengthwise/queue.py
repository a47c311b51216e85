"""The Celery app and its bells. A bell is a task that carries a pool's name, never a text: losing one costs seconds."""

# mypy: allow-untyped-calls
# kombu ships few annotations.

import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from celery import Celery
from kombu.connection import Connection, ConnectionPool

from lengthwise import bells, broker, settings
from lengthwise.bells import Bell

log = logging.getLogger(__name__)

GENERATE = bells.GENERATE
DELIVER = bells.DELIVER

#: One submission wakes at most this many workers; the sweep wakes the others.
MAX_BELLS = 16

#: Without these a half-open connection to Redis stalls a worker for ever, silently; with the time-outs but without
#: the retry, the next message is popped and lost.
REDIS_OPTIONS = {
    "socket_timeout": 2,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 3,
    "retry_on_timeout": True,
}

#: Who rings has a caller that waits and nothing to lose: one try, no longer than its time-outs.
_RINGING_OPTIONS = {"max_retries": 0, "retry_on_timeout": False}
_CONNECT_SECONDS = 2


def _configuration(current: settings.Settings) -> dict[str, Any]:
    url = current.require_redis_url()
    broker.install()
    return {
        "broker_url": url,
        "broker_transport_options": dict(REDIS_OPTIONS) if url.startswith("redis") else {"confirm_publish": True},
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_default_queue": GENERATE,
        "task_routes": {DELIVER: {"queue": DELIVER}},
        "task_ignore_result": True,
        # RabbitMQ keeps a bell until the slice has ended; Redis forgets it when it is heard (``broker``).
        "task_acks_late": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # A process loads its models before it says that it is up; Celery would replace it after four seconds.
        "worker_proc_alive_timeout": 600,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_hijack_root_logger": False,
        "worker_send_task_events": False,
        # Its fanout connection is one more that can half-open, and nothing here is controlled through the broker.
        "worker_enable_remote_control": False,
        "enable_utc": True,
    }


@cache
def app() -> Celery:
    """This process's Celery app. Raises ``ConfigurationError`` if no broker is set."""
    made = Celery("lengthwise")
    made.conf.update(_configuration(settings.get()))
    return made


@cache
def _ringing() -> Celery:
    """The same broker, for those who ring: a consumer must be patient, they must not.

    Configured anew, for a copy of the other's configuration has stars where the broker's password was.
    """
    made = Celery("bells", set_as_current=False)
    configuration = _configuration(settings.get())
    configuration["broker_transport_options"] |= _RINGING_OPTIONS
    made.conf.update(configuration, broker_connection_timeout=_CONNECT_SECONDS)
    return made


def forget() -> None:
    """The next use reads the settings again."""
    app.cache_clear()
    _ringing.cache_clear()


def length(name: str) -> int:
    """Bells of this queue that nobody has heard yet; 0, too, where the broker is away or has no such queue."""
    try:
        with _ringing().connection_for_write() as connection:
            return int(connection.default_channel.queue_declare(name, passive=True).message_count)
    except Exception:  # each broker's library has errors of its own
        return 0


def ring(name: str, arguments: Iterable[str] = (), times: int = 1) -> bool:
    """Rings now: for what was committed before. When the broker is away the sweep rings again.

    Returns whether all bells were rung, within seconds. Raises ``ConfigurationError`` if no broker is set.
    """
    ringing = _ringing()
    queue = GENERATE if name == GENERATE else DELIVER
    try:
        for _ in range(min(times, MAX_BELLS)):
            ringing.send_task(name, args=list(arguments), retry=False, queue=queue, ignore_result=True)
    except Exception as error:  # each broker's library has errors of its own, and none of them is the caller's
        log.warning("bell not rung, the sweep will: %s", type(error).__name__)
        _drop_idle(ringing.pool)
        return False
    return True


def ring_bell(bell: Bell) -> None:
    """Rings what a transaction noted, once it has committed: what ``lengthwise.database`` is given for that."""
    ring(bell.task, bell.arguments, times=bell.times)


def _drop_idle(connections: ConnectionPool) -> None:
    """One that failed was not the only one of its age: each of the others would cost a later ring its time-out."""
    idle: list[Connection] = []
    with suppress(connections.LimitExceeded):
        while len(idle) < connections.limit:
            idle.append(connections.acquire())
    for connection in idle:
        connections.collect_resource(connection)
        connection.release()
