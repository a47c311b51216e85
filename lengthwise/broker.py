"""Kombu's connection and its Redis transport as bells need them.

The transport forgets a message once a worker has taken it, and drops all but bells.

Kombu keeps each message in a hash and a sorted set until it is acknowledged, so that it can deliver it again. Bells do
not need that: the sweep rings a lost bell again within a second. Keeping them costs half of a bell's traffic, and is
what fails on a Redis that is full or was restarted. RabbitMQ's transport is used as it is.
"""

# mypy: allow-untyped-calls
# kombu ships few annotations.

import logging
from typing import Any

from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.transport import TRANSPORT_ALIASES, redis

log = logging.getLogger(__name__)

#: The pause between two attempts to reach a broker that is away.
_PAUSE_SECONDS = 1.0


class BrokerConnection(Connection):
    """A connection that is tried again at short intervals.

    Kombu waits two seconds longer after each attempt, up to 30. After an outage of a minute a worker would find the
    broker 15 seconds late.
    """

    def ensure_connection(self, *arguments: Any, **options: Any) -> Any:
        """See ``kombu.Connection``."""
        pauses = {"interval_start": _PAUSE_SECONDS, "interval_step": 0, "interval_max": _PAUSE_SECONDS}
        return super().ensure_connection(*arguments, **options | pauses)


class BellProtocol(AMQP):  # type: ignore[misc]
    """Celery's way to its broker, over the connection above."""

    Connection = BrokerConnection


class QoS(redis.QoS):
    """Kombu's record of messages that are not acknowledged yet; this one is always empty."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Records nothing: a message that was taken is not delivered again."""

    def ack(self, delivery_tag: str) -> None:
        """Does nothing, since nothing is recorded."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Does nothing. If a rejected bell is still needed, the sweep rings it again."""

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Does nothing, since nothing is recorded that could be delivered again."""


class Channel(redis.Channel):
    """A channel that drops messages which are not bells."""

    QoS = QoS
    do_restore = False

    def _brpop_read(self, **options: Any) -> Any:
        """Reads one message. Without this, a message that is not a bell would end one worker after another."""
        try:
            return super()._brpop_read(**options)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.warning("dropped a message that is not a bell (%s)", type(error).__name__)
            return True


class BellTransport(redis.Transport):
    """Kombu's Redis transport with the channel above."""

    Channel = Channel


def install() -> None:
    """Makes kombu use this transport for redis:// and rediss:// in this process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{BellTransport.__name__}"
