"""The suite's API key, and clients that send it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient
from starlette.types import ASGIApp

ADMIN_VARIABLE = "LENGTHWISE_ADMIN_KEY"
PEPPER_VARIABLE = "LENGTHWISE_KEY_PEPPER"
#: The admin key, and the pepper for the hashes of other keys.
KEY = "lw_" + "5" * 32 + "_" + "Suite" * 8 + "Key"
PEPPER = "suite-" * 8
VARIABLES = {ADMIN_VARIABLE: KEY, PEPPER_VARIABLE: PEPPER}


def bearer(key: str = KEY) -> dict[str, str]:
    """Returns the header with which a client sends a key."""
    return {"Authorization": f"Bearer {key}"}


@contextmanager
def calling(app: ASGIApp, key: str = KEY, **options: Any) -> Iterator[TestClient]:
    """Runs the application and yields a client that sends the key with every request."""
    with TestClient(app, headers=bearer(key), **options) as client:
        yield client
