"""Starts uvicorn with our connections. Commands and tests share the options that are set here."""

import gc
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.serve.connection import GuardedConnection
from api.serve.gate import Gate
from lengthwise.settings import Settings

#: Seconds that open requests are given when the server stops; a download may be long.
_GRACE = 5


def run(current: Settings, host: str, port: int) -> None:
    """Serves the API until a signal comes. Raises ``ConfigurationError``."""
    app = create_app(current)
    # A full collection takes 80 ms for the objects of all libraries, and all requests wait for it. None of them is
    # garbage later.
    gc.collect()
    gc.freeze()
    uvicorn.run(app, host=host, port=port, **options(app, current))


def options(app: FastAPI, current: Settings) -> dict[str, Any]:
    """The arguments of ``uvicorn.run`` and ``uvicorn.Config`` besides the app and where it listens."""
    return {
        "http": partial(GuardedConnection, gate=Gate(current, app.state.forms)),
        "ws": "none",
        # A caller could write such headers itself. Connections are counted by the address that they come from.
        "proxy_headers": False,
        "access_log": False,
        "timeout_keep_alive": current.header_seconds,
        "timeout_graceful_shutdown": _GRACE,
    }
