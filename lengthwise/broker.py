"""Kombu's Redis transport as bells need it: a message that was taken is gone, and what is no bell is dropped.

Kombu keeps what a worker took in a hash and a sorted set until it is acknowledged, to give it out again later. A lost
bell is rung again by the sweep within a second, so that all this buys nothing, costs half of a bell's traffic, and is
what fails on a full or restarted Redis. RabbitMQ's transport is used as it is.
"""

import logging
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

log = logging.getLogger(__name__)


class QoS(redis.QoS):
    def append(self, message: Any, delivery_tag: str) -> None:
        """Remembers nothing: whoever took a message has it for good."""

    def ack(self, delivery_tag: str) -> None:
        """There is nothing to forget."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """A bell that is not wanted is rung again by the sweep, if there is need."""

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """There is nothing to give out again."""


class Channel(redis.Channel):
    QoS = QoS
    do_restore = False

    def _brpop_read(self, **options: Any) -> Any:
        """One message. Bytes that are no bell would end the worker, and be given to the next."""
        try:
            return super()._brpop_read(**options)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.warning("dropped a message that is no bell (%s)", type(error).__name__)
            return True


class BellTransport(redis.Transport):
    Channel = Channel


def install() -> None:
    """From now on this process reaches redis:// by the transport above."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{BellTransport.__name__}"
