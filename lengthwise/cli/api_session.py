"""How commands reach what the client has no methods for: keys, tenants and the like, as the API shows them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer

from lengthwise.cli.connection import KEY_FILE, REFUSED, local_key, say
from lengthwise.client._address import URL_VARIABLE
from lengthwise.errors import ConfigurationError

Data = Annotated[Path, typer.Option("--data", help="The data folder of lengthwise up, for its key.")]

DATA = KEY_FILE.parent
_TIMEOUT_SECONDS = 60


class ApiSession:
    """Asks the API under one key."""

    def __init__(self, url: str, key: str | None, data: Path = DATA) -> None:
        """Raises ``ConfigurationError`` if there is no key."""
        key = key or local_key(url, data / KEY_FILE.name)
        if key is None:
            raise ConfigurationError(
                "no API key: give --key or LENGTHWISE_API_KEY; the one that lengthwise up keeps in its data folder "
                "is found for an API on this machine"
            )
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of the answer. Ends the command with the API's own words if it refuses."""
        try:
            with httpx.Client(base_url=self._url, headers=self._headers, timeout=_TIMEOUT_SECONDS) as client:
                answer = client.request(method, path, **request)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            _end(f"there is no answer from {self._url}; is it running? --url or {URL_VARIABLE} name another")
        if not answer.is_success:
            _end(_words(answer))
        return answer.json() if answer.content else None

    def every(self, path: str, **params: Any) -> Iterator[Any]:
        """All of a list, page by page."""
        wanted = {name: value for name, value in params.items() if value is not None} | {"limit": 100}
        while True:
            page = self.ask("GET", path, params=wanted)
            yield from page["data"]
            if not page["has_more"]:
                return
            wanted["after"] = page["data"][-1]["id"]


def segment(given: str) -> str:
    """An id as a part of a path: a slash in it would make it another path."""
    return "".join(character for character in given if character.isalnum() or character == "-") or "-"


def _end(words: str) -> NoReturn:
    say(f"lengthwise: {words}")
    raise typer.Exit(REFUSED)


def _words(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        field = f"{problem['field']}: " if problem.get("field") else ""
        return f"{answer.status_code}: {field}{problem['detail']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{answer.status_code}: the answer is none of lengthwise's; is that its URL?"
