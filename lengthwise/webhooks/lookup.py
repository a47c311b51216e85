"""Looks names up without waiting for ever, and with a bounded number of threads.

``getaddrinfo`` has no timeout, and a customer's name server may never answer. Each look-up has a thread of its own, so
that whoever waits for it can stop waiting. Knows nothing of URLs, and not which addresses are allowed.
"""

import ipaddress
import socket
import threading
from concurrent.futures import Future

from lengthwise.errors import LengthwiseError
from lengthwise.webhooks.reserved import Address

#: Look-ups of one process at a time. The resolver gives a silent name server up after 10 to 30 seconds: that is enough
#: for all attempts of a delivery worker to begin a new one every five seconds.
_MOST = 512
_places = threading.BoundedSemaphore(_MOST)


class Unresolvable(LengthwiseError):
    """The host's name has no address now. It may have one later."""

    def __init__(self) -> None:
        super().__init__("webhook.url's host has no address")


def literal(host: str) -> Address | None:
    """The address that the host is, unless it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def begin(host: str, patience: float = 0) -> "Future[list[Address]]":
    """Asks for the addresses of a name, in the resolver's order. The answer may come late, or never.

    It is the error ``Unresolvable`` if the name has no address. Raises ``Unresolvable`` if after ``patience`` seconds
    too many other look-ups are still waiting.
    """
    places = _places
    if not places.acquire(timeout=patience):
        raise Unresolvable
    answer: Future[list[Address]] = Future()
    answer.set_running_or_notify_cancel()  # from here on it cannot be cancelled, so that its thread can always set it
    threading.Thread(target=_ask, args=(host, answer, places), name="lookup", daemon=True).start()
    return answer


def _ask(host: str, answer: "Future[list[Address]]", places: threading.BoundedSemaphore) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(ipaddress.ip_address(sockaddr[0]) for *_, sockaddr in found))
        if not addresses:
            raise Unresolvable
    except (OSError, UnicodeError):
        answer.set_exception(Unresolvable())
    except Exception as error:
        answer.set_exception(error)
    else:
        answer.set_result(addresses)
    finally:
        places.release()
