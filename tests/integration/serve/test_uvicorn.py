"""The guarded connection stands on names of uvicorn's that no version promises."""

import inspect

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.serve.connection import GuardedConnection

#: Attributes of instances, by their class. They are set in its code.
USED = {
    HttpToolsProtocol: ("parser", "flow", "cycle", "pipeline", "headers", "client", "server_state", "url"),
    RequestResponseCycle: (
        "response_started", "response_complete", "waiting_for_100_continue", "message_event", "disconnected",
    ),
}  # fmt: skip
#: Methods that the guarded connection calls or replaces.
METHODS = [
    "_unset_keepalive_if_required", "_start_asgi_task", "on_message_begin", "on_url", "on_header",
    "on_headers_complete", "on_body", "on_message_complete", "on_response_complete", "connection_made",
    "connection_lost", "resume_writing", "data_received", "shutdown",
]  # fmt: skip


def test_this_uvicorn_has_what_the_guarded_connection_uses() -> None:
    missing = [name for name in METHODS if not callable(getattr(HttpToolsProtocol, name, None))]
    for cls, names in USED.items():
        code = inspect.getsource(cls)
        missing += [f"{cls.__name__}.{name}" for name in names if f"self.{name}" not in code]
    assert not missing, f"uvicorn {uvicorn.__version__} does not fit api/serve/connection.py: it lacks {missing}"


def test_what_is_replaced_is_looked_for() -> None:
    own = {name for name, value in vars(GuardedConnection).items() if inspect.isfunction(value)}
    assert {name for name in own if hasattr(HttpToolsProtocol, name)} - {"__init__"} <= set(METHODS)
