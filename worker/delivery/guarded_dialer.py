"""Dialling for webhooks: resolve a name once, check all its answers, dial one of those very addresses.

Between the check and the dial there is no second look-up, so a name server that changes its answer gains
nothing. TLS still asks for, and checks the certificate of, the host's name.
"""

import socket
from collections.abc import Iterable, Sequence

import httpcore

from lengthwise.webhooks.reserved import Address, Network
from lengthwise.webhooks.target import lookup
from worker.delivery.deadline_stream import Deadline, DeadlineStream, translated

#: For a name server that never answers, where no sooner limit is given.
LOOKUP_SECONDS = 5.0


class GuardedBackend(httpcore.NetworkBackend):
    """httpcore's way to the network, for public addresses and those in ``allowed`` only.

    Every stream it opens ends at ``deadline``. ``connect_tcp`` raises ``ForbiddenAddress`` and
    ``Unresolvable`` besides httpcore's own errors.
    """

    def __init__(self, allowed: Sequence[Network] = (), deadline: Deadline | None = None) -> None:
        self._allowed = tuple(allowed)
        self._deadline = deadline or Deadline()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> DeadlineStream:
        """One connection to ``host``, looked up and dialled within ``timeout`` seconds in all."""
        if local_address is not None or socket_options:
            raise NotImplementedError("webhooks are dialled without a local address and socket options")
        until = self._deadline.within(timeout)
        with translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            addresses = lookup(host, port, self._allowed, until.remaining(LOOKUP_SECONDS) or LOOKUP_SECONDS)
            return DeadlineStream(_dial_any(addresses, port, until), self._deadline)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Refused: no webhook is reached through a socket of this machine."""
        raise httpcore.ConnectError("forbidden_address")


def _dial_any(addresses: Sequence[Address], port: int, until: Deadline) -> socket.socket:
    """The first connection that succeeds. Raises the last address's ``OSError`` if none does."""
    failure = OSError("there is no address")
    for index, address in enumerate(addresses):
        try:
            # A share for each, so that one address that swallows packets leaves time for the next.
            left = until.remaining()
            return _dial(address, port, None if left is None else left / (len(addresses) - index))
        except OSError as error:
            failure = error
    raise failure


def _dial(address: Address, port: int, timeout: float | None) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect((str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock
