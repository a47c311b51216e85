"""The key under which the suite asks, and clients that send it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient
from starlette.types import ASGIApp

ADMIN_VARIABLE = "LENGTHWISE_ADMIN_KEY"
PEPPER_VARIABLE = "LENGTHWISE_KEY_PEPPER"
#: The installation's own key, and what goes into the hashes of the others.
KEY = "lw_" + "5" * 32 + "_" + "Suite" * 8 + "Key"
PEPPER = "suite-" * 8
VARIABLES = {ADMIN_VARIABLE: KEY, PEPPER_VARIABLE: PEPPER}


def bearer(key: str = KEY) -> dict[str, str]:
    """The header that a key is sent in."""
    return {"Authorization": f"Bearer {key}"}


@contextmanager
def calling(app: ASGIApp, key: str = KEY, **options: Any) -> Iterator[TestClient]:
    """A client of this application, as long as that runs, which sends the key with every request."""
    with TestClient(app, headers=bearer(key), **options) as client:
        yield client
