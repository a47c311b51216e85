"""Whether the API can listen where it should, asked before anything is started."""

import socket

from lengthwise.errors import ConfigurationError


def free_port(host: str, port: int) -> int:
    """``port``, or any free port for 0. Raises ``ConfigurationError`` if it cannot be bound."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            found: int = probe.getsockname()[1]
            return found
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is no name of a host"
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {reason}; give another --host, or another --port (0 is any free one)"
        ) from None
