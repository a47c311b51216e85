"""What the API and the workers share: settings, states, kinds, the queue and the ledger. No torch, no web framework.

Callers use ``from lengthwise import Client, AsyncClient``. The client is imported only when it is used.
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
