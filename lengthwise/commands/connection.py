"""How a command reaches the API: its URL, a key, and what its errors say."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lengthwise.errors import ConfigurationError, LengthwiseError

if TYPE_CHECKING:
    import httpx

Url = Annotated[str, typer.Option("--url", envvar="LENGTHWISE_URL", help="Where the API is.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="LENGTHWISE_API_KEY", show_envvar=True, help="An API key; without one, that of the data folder."
    ),
]
Data = Annotated[Path, typer.Option("--data", help="The data folder of lengthwise up, for its key.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the API answered.")]

URL = "http://127.0.0.1:8000"
DATA = Path(".lengthwise")
_TIMEOUT_SECONDS = 60


class Connection:
    """Asks the API under one key."""

    def __init__(self, url: str, key: str | None, data: Path) -> None:
        """Raises ``ConfigurationError`` if there is no key."""
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key or _kept(data)}"}

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of the answer. Raises ``LengthwiseError`` with the API's own words if it refuses."""
        import httpx  # a tenth of a second, which no other command need wait

        try:
            answer = httpx.request(
                method, f"{self._url}{path}", headers=self._headers, timeout=_TIMEOUT_SECONDS, **request
            )
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise ConfigurationError(f"--url: there is no answer ({type(error).__name__})") from None
        if not answer.is_success:
            raise LengthwiseError(_words(answer))
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
        return (data / "admin.key").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"no API key: give --key, LENGTHWISE_API_KEY, or --data with the folder of lengthwise up ({data} has none)"
        ) from None


def _words(answer: "httpx.Response") -> str:
    try:
        problem = answer.json()
        field = f"{problem['field']}: " if problem.get("field") else ""
        return f"{answer.status_code}: {field}{problem['detail']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{answer.status_code}: the answer is none of lengthwise's; is that its URL?"


def show_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))
