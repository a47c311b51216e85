"""What every command that talks to an API has in common: its options, its errors, its exit codes, its output."""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from pydantic import BaseModel
from pydantic_core import to_json
from rich.console import Console

from lengthwise.client import Client
from lengthwise.client._address import KEY_VARIABLE, URL_VARIABLE
from lengthwise.client._error import (
    ClientError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    TooBusyError,
    UnavailableError,
    UnreachableError,
)
from lengthwise.errors import ConfigurationError

ITEMS_FAILED = 1
MISUSED = 2
REFUSED = 3
#: As shells have it for what Ctrl-C ended.
INTERRUPTED = 130

#: Where ``lengthwise up`` leaves the key of a first start.
KEY_FILE = Path(".lengthwise/admin.key")

#: Seconds that a person at a terminal may wait for a server that is away; a job that is waited for may outlast more.
_PATIENCE = 3.0
LONG_PATIENCE = 120.0

Url = Annotated[
    str, typer.Option("--url", envvar=URL_VARIABLE, help="Where the API is.", show_default=True, metavar="URL")
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", envvar=KEY_VARIABLE, help=f"The API key; {KEY_FILE} if that is there and the API is on this machine."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]

_NEXT: dict[type[ClientError], str] = {
    UnreachableError: f"is it running? `lengthwise up` starts one here; --url or {URL_VARIABLE} name another",
    NotAllowedError: f"give a key that may do this: --key or {KEY_VARIABLE}",
    NotFoundError: "`lengthwise jobs` lists those there are",
    ConflictError: "`lengthwise status ID` shows its state",
    TooBusyError: "try again later",
    UnavailableError: "try again later; nothing was lost",
}


def say(line: str) -> None:
    """For people."""
    typer.echo(line, err=True)


def console(*, err: bool = False) -> Console:
    """Without colours where that is no terminal; a table that is piped is not cut to any width."""
    made = Console(stderr=err, highlight=False)
    return made if made.is_terminal else Console(stderr=err, highlight=False, width=200, no_color=True)


def print_json(value: Any) -> None:
    """A line of JSON on stdout; an answer of the API is as it came."""
    typer.echo(to_json(value.model_dump(mode="json") if isinstance(value, BaseModel) else value).decode())


@contextmanager
def connected(url: str, key: str | None, patience: float = _PATIENCE) -> Iterator[Client]:
    """A client; what it raises becomes one line that says what to do next, and the exit code."""
    try:
        with Client(url, key or local_key(url), patience=patience) as client:
            yield client
    except ClientError as error:
        what = next((what for kind, what in _NEXT.items() if isinstance(error, kind)), None)
        say(f"lengthwise: {error}" + (f"; {what}" if what else ""))
        raise typer.Exit(REFUSED) from None
    except ConfigurationError as error:
        say(f"lengthwise: {error}")
        raise typer.Exit(MISUSED) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def local_key(url: str, file: Path = KEY_FILE) -> str | None:
    """The key of an installation in this folder, for an API on this machine: others are not told it."""
    if not _is_loopback(url):
        return None
    try:
        return file.read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{file} cannot be read; give the key by {KEY_VARIABLE}") from None


def _is_loopback(url: str) -> bool:
    try:
        host = httpx.URL(url).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (httpx.InvalidURL, ValueError):
        return False


def is_interactive() -> bool:
    """Whether a person watches what is said."""
    return os.isatty(2)
