"""How commands reach what the client has no methods for: keys, tenants and the like, as the API shows them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer

from lengthwise.commands.connection import KEY_FILE, REFUSED, say
from lengthwise.errors import ConfigurationError

Data = Annotated[Path, typer.Option("--data", help="The data folder of lengthwise up, for its key.")]

DATA = KEY_FILE.parent
_TIMEOUT_SECONDS = 60


class Connection:
    """Asks the API under one key."""

    def __init__(self, url: str, key: str | None, data: Path) -> None:
        """Raises ``ConfigurationError`` if there is no key."""
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key or _kept(data)}"}

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of the answer. Ends the command with the API's own words if it refuses."""
        try:
            answer = httpx.request(
                method, f"{self._url}{path}", headers=self._headers, timeout=_TIMEOUT_SECONDS, **request
            )
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            _end(f"there is no answer from --url ({type(error).__name__}); is `lengthwise up` running?")
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


def _kept(data: Path) -> str:
    try:
        return (data / KEY_FILE.name).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"no API key: give --key, LENGTHWISE_API_KEY, or --data with the folder of lengthwise up ({data} has none)"
        ) from None


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
