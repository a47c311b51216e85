"""Requests for which the client has no methods: keys, tenants and webhook endpoints. Answers are plain JSON."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer

from lengthwise.cli.connection import KEY_FILE, REFUSED, local_key, say
from lengthwise.client import KEY_VARIABLE, URL_VARIABLE, ConfigurationError

Data = Annotated[Path, typer.Option("--data", help="Data folder of `lengthwise up`, which has its admin key.")]

DATA = KEY_FILE.parent
_TIMEOUT_SECONDS = 60


class ApiSession:
    """Sends requests to the API under one key."""

    def __init__(self, url: str, key: str | None, data: Path = DATA) -> None:
        """Raises ``ConfigurationError`` if there is no key."""
        key = key or local_key(url, data / KEY_FILE.name)
        if key is None:
            raise ConfigurationError(
                f"no API key: give --key or {KEY_VARIABLE}; for an API on this machine, "
                "the key in the data folder of `lengthwise up` is read by default"
            )
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of the answer. If the API refuses, prints why and ends the command."""
        try:
            with httpx.Client(base_url=self._url, headers=self._headers, timeout=_TIMEOUT_SECONDS) as client:
                answer = client.request(method, path, **request)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            _end(f"there is no answer from {self._url}; is it running? --url or {URL_VARIABLE} name another")
        if not answer.is_success:
            _end(_reason(answer))
        return answer.json() if answer.content else None

    def every(self, path: str, **params: Any) -> Iterator[Any]:
        """All entries of a list, page by page."""
        wanted = {name: value for name, value in params.items() if value is not None} | {"limit": 100}
        while True:
            page = self.ask("GET", path, params=wanted)
            yield from page["data"]
            if not page["has_more"]:
                return
            wanted["after"] = page["data"][-1]["id"]


def segment(text: str) -> str:
    """An id as one segment of a path. Other characters are dropped: a slash would lead to another path."""
    return "".join(character for character in text if character.isalnum() or character == "-") or "-"


def _end(message: str) -> NoReturn:
    say(f"lengthwise: {message}")
    raise typer.Exit(REFUSED)


def _reason(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        field = f"{problem['field']}: " if problem.get("field") else ""
        return f"{answer.status_code}: {field}{problem['detail']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{answer.status_code}: this is not an answer of lengthwise; is the URL right?"
