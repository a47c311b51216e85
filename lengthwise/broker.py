"""Kombu's Redis transport as bells need it: a message that was taken is gone, and what is no bell is dropped.

Kombu keeps what a worker took in a hash and a sorted set until it is acknowledged, to give it out again later. A lost
bell is rung again by the sweep within a second, so that all this buys nothing, costs half of a bell's traffic, and is
what fails on a full or restarted Redis. RabbitMQ's transport is used as it is.
"""

import logging
from typing import Any

from kombu.entity import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES, redis

log = logging.getLogger(__name__)


class QoS(redis.QoS):
    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Looks for nothing: no message is ever unacknowledged."""


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


class Transport(redis.Transport):
    Channel = Channel


def install() -> None:
    """From now on this process reaches redis:// by the transport above."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"


def queues(names: tuple[str, ...], url: str) -> list[Queue]:
    """The queues of these names as this broker is to hold them."""
    # RabbitMQ gives a consumer that does not acknowledge all that there is: there the others would hear nothing.
    no_ack = url.startswith("redis")
    return [Queue(name, Exchange(name), routing_key=name, no_ack=no_ack) for name in names]
