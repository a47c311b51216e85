"""Where the API shall listen is checked before anything is started."""

import socket

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.local.port import free_port


@pytest.mark.parametrize("host", ["no such host", "256.1.1.1", "192.0.2.1", "a..b\u00e9", "a" * 300])
def test_a_host_on_which_nobody_can_listen_is_one_line(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^cannot listen on .*--host.*--port") as caught:
        free_port(host, 0)
    assert "\n" not in str(caught.value)


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"^cannot listen on 127.0.0.1 port {port}: "):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", port) == port
