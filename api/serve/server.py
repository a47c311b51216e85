"""Starts uvicorn with our connections. Commands and tests share the options that are set here."""

import gc
import os
import socket
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.serve.connection import GuardedConnection
from api.serve.gate import Gate
from lengthwise import logs, traces
from lengthwise.settings import Settings

#: Seconds that open requests are given when the server stops; a download may be long.
_GRACE = 5


def run(current: Settings, host: str, port: int) -> None:
    """Serves the API until a signal comes. Raises ``ConfigurationError``."""
    named = ("api", f"api-{os.getpid()}@{socket.gethostname()}")
    logs.set_up(*named, form=current.log_format, level=current.log_level)
    traces.set_up(*named)
    app = create_app(current)
    # A full collection takes 80 ms for the objects of all libraries, and all requests wait for it. None of them is
    # garbage later.
    gc.collect()
    gc.freeze()
    try:
        uvicorn.run(app, host=host, port=port, **options(app, current))
    finally:
        traces.shut()


def options(app: FastAPI, current: Settings) -> dict[str, Any]:
    """The arguments of ``uvicorn.run`` and ``uvicorn.Config`` besides the app and where it listens."""
    return {
        "http": partial(GuardedConnection, gate=Gate(current, app.state.forms, app.state.refusals)),
        "ws": "none",
        # A caller could write such headers itself. Connections are counted by the address that they come from.
        "proxy_headers": False,
        # The process has set up its logs, and the shield writes a line for each request.
        "log_config": None,
        "access_log": False,
        "timeout_keep_alive": current.header_seconds,
        "timeout_graceful_shutdown": _GRACE,
    }
