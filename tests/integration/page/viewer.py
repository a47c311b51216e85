"""A browser in a test: it holds a session's cookie, and sends what a browser sends with a form of our own page."""

from html.parser import HTMLParser
from typing import Any

import httpx2
from starlette.testclient import TestClient

from api.page.session import COOKIE
from tests.caller import KEY
from tests.integration.access import keys

#: What a browser says of a form on our own page.
OWN = {"sec-fetch-site": "same-origin", "origin": "http://testserver"}


class Viewer:
    """Whoever signed in with a key. It follows no redirect."""

    def __init__(self, client: TestClient, key: str) -> None:
        self._client = client
        self.signed_in = sign_in(client, key)
        assert self.signed_in.status_code == 303, self.signed_in.text
        self._cookie = {"cookie": f"{COOKIE}={self.signed_in.cookies[COOKIE]}"}
        client.cookies.clear()

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self._client.get(path, headers=self._cookie, follow_redirects=False, **more)

    def post(self, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
        """Sends a form of our own page; with ``headers``, it says something else of where it came from."""
        sent = self._cookie | (OWN if headers is None else headers)
        return self._client.post(path, headers=sent, follow_redirects=False, **more)


def sign_in(client: TestClient, key: str, **headers: str) -> httpx2.Response:
    return client.post("/page/sign-in", data={"key": key}, headers=OWN | headers, follow_redirects=False)


def operator(client: TestClient) -> Viewer:
    """The installation's own key."""
    return Viewer(client, KEY)


def with_scopes(client: TestClient, *scopes: str, **more: Any) -> Viewer:
    """A new key of the first tenant, or of the one that ``more`` names."""
    return Viewer(client, keys.new_key(client, *scopes, **more)["key"])


class Shown(HTMLParser):
    """What a browser makes of an answer: its text, and its elements with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    @property
    def text(self) -> str:
        """With single blanks."""
        return " ".join(" ".join(self._texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]
