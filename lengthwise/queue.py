"""The Celery app and its bells. A bell is a Celery task that says that a pool has work. Losing one costs seconds."""

# mypy: allow-untyped-calls
# kombu ships few annotations.

import logging
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from celery import Celery
from kombu.connection import Connection, ConnectionPool
from kombu.messaging import Producer

from lengthwise import bells, broker, settings
from lengthwise.bells import Bell

log = logging.getLogger(__name__)

#: The names of the bells. A task's file, its function and its Celery name are the same word.
GENERATE = bells.GENERATE
DELIVER = bells.DELIVER

#: A process that has rung so many counts those that wait before it rings more. While so many wait it rings none: any
#: worker that hears one finds all work. One submission wakes as many workers at most.
MAX_BELLS = 16
#: By queue, bells that wait for all that this process knows: those it counted, and those it has rung since.
_known: Counter[str] = Counter()

#: Without the time-outs, a half-open connection to Redis stalls a worker for ever without a message. Without the retry,
#: the message after a time-out is popped and lost.
REDIS_OPTIONS = {
    "socket_timeout": 2,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 3,
    "retry_on_timeout": True,
}

#: Ringing makes one try within its time-outs: a caller waits for it, and a bell that is not rung loses nothing.
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
        # RabbitMQ keeps a bell until its slice has ended. Redis forgets it once a worker takes it (see ``broker``).
        "task_acks_late": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # A process loads its models before it reports that it is up. Celery would replace it after four seconds.
        "worker_proc_alive_timeout": 600,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_hijack_root_logger": False,
        "worker_send_task_events": False,
        # Remote control is not used, and its fanout connection is one more that can become half-open.
        "worker_enable_remote_control": False,
        "enable_utc": True,
    }


@cache
def app() -> Celery:
    """The Celery app of this process. Raises ``ConfigurationError`` if no broker is set."""
    made = Celery("lengthwise", amqp=f"{broker.__name__}:{broker.BellProtocol.__name__}")
    made.conf.update(_configuration(settings.get()))
    return made


@cache
def _ringing() -> Celery:
    """A Celery app that only rings. A consumer must wait for a broker that is away; ringing must not.

    It builds its configuration anew, because a copy of the other app's has asterisks in place of the password.
    """
    made = Celery("bells", set_as_current=False)
    configuration = _configuration(settings.get())
    configuration["broker_transport_options"] |= _RINGING_OPTIONS
    made.conf.update(configuration, broker_connection_timeout=_CONNECT_SECONDS)
    return made


def forget() -> None:
    """Makes the next use read the settings again."""
    app.cache_clear()
    _ringing.cache_clear()
    _known.clear()


def waiting_bells(*names: str) -> dict[str, int] | None:
    """The number of bells that wait in each of these queues; None if the broker is away.

    A queue that is not there has none.
    """
    found: dict[str, int] = {}
    try:
        with _ringing().connection_for_write() as connection:
            for name in names:
                with connection.channel() as channel:
                    found[name] = _count(name, channel, connection)
    except Exception:  # each broker's library raises its own errors
        return None
    return found


def ring(name: str, arguments: Iterable[str] = (), times: int = 1) -> bool:
    """Rings bells for work that is committed, while few wait. If the broker is away, the sweep rings later.

    Takes seconds at most. Returns whether enough bells wait now. Raises ``ConfigurationError`` if no broker is set.
    """
    ringing = _ringing()
    queue = GENERATE if name == GENERATE else DELIVER
    try:
        with ringing.producer_or_acquire() as producer:
            for _ in range(min(times, _room(queue, times, producer))):
                ringing.send_task(
                    name, args=list(arguments), retry=False, queue=queue, ignore_result=True, producer=producer
                )
                _known[queue] += 1
    except Exception as error:  # each broker's library raises its own errors, and none concerns the caller
        log.warning("a bell was not rung (%s); the sweep will ring it", type(error).__name__)
        _drop_idle(ringing.pool)
        return False
    return True


def _room(name: str, times: int, producer: Producer) -> int:
    """How many bells may be rung. They are counted anew only where those that are known might be too many."""
    if _known[name] + times > MAX_BELLS:
        _known[name] = _count(name, producer.channel, producer.connection)
    return MAX_BELLS - _known[name]


def _count(name: str, channel: Any, connection: Connection) -> int:
    try:
        return int(channel.queue_declare(name, passive=True).message_count)
    except connection.channel_errors:  # Redis has no empty queues
        return 0


def ring_bell(bell: Bell) -> None:
    """Rings one bell of a committed transaction. ``lengthwise.database`` calls this for each bell that was noted."""
    ring(bell.task, bell.arguments, times=bell.times)


def _drop_idle(connections: ConnectionPool) -> None:
    """Closes the idle connections. When one has failed, each of the others may cost a later bell its time-out."""
    idle: list[Connection] = []
    with suppress(connections.LimitExceeded):
        while len(idle) < connections.limit:
            idle.append(connections.acquire())
    for connection in idle:
        connections.collect_resource(connection)
        connection.release()
