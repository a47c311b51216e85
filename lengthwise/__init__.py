"""The shared floor of lengthwise: settings, states, kinds, the queue and the ledger; no torch, no web framework.

For callers: ``from lengthwise import Client, AsyncClient``, imported only when asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lengthwise.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from lengthwise import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
