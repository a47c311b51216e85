"""Dials webhooks' receivers. It resolves a name once, checks all its addresses, and dials one of them.

There is no second look-up between the check and the dial, so a name server that changes its answer cannot bypass the
check. TLS still uses the host's name, and checks the certificate for that name.
"""

import socket
from collections.abc import Iterable, Sequence

import httpcore

from lengthwise.webhooks.reserved import Address, Network
from lengthwise.webhooks.target import resolve
from worker.delivery.deadline_stream import Deadline, DeadlineStream, translated

#: How long a look-up may take at most, if the name server does not answer.
LOOKUP_SECONDS = 5.0


class GuardedBackend(httpcore.NetworkBackend):
    """A network backend for httpcore that only dials public addresses and those in ``allowed``.

    Every stream that it opens ends at ``deadline``. ``connect_tcp`` raises ``ForbiddenAddress`` and ``Unresolvable``
    besides httpcore's own errors.
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
        """Connects to ``host``. The look-up and the dial take ``timeout`` seconds together at most."""
        if local_address is not None or socket_options:
            raise NotImplementedError("webhooks are dialled without a local address and socket options")
        until = self._deadline.within(timeout)
        with translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            addresses = resolve(host, self._allowed, until.remaining(LOOKUP_SECONDS) or LOOKUP_SECONDS)
            return DeadlineStream(_dial_any(addresses, port, until), self._deadline)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises ``ConnectError``, because no webhook goes to a socket of this machine."""
        raise httpcore.ConnectError("forbidden_address")


def _dial_any(addresses: Sequence[Address], port: int, until: Deadline) -> socket.socket:
    """The first connection that succeeds. If none does, raises the last address's ``OSError``."""
    failure = OSError("there is no address")
    for index, address in enumerate(addresses):
        try:
            # Each address gets a share of the time, so that one that drops packets leaves time for the next.
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
