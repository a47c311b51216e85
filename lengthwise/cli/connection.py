"""What the commands that talk to an API share: their options, exit codes, output, and the messages for errors."""

import ipaddress
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated, Any
from uuid import uuid4

import httpx
import typer
from pydantic import BaseModel
from rich.console import Console

from lengthwise import json_line
from lengthwise.cli import interrupt
from lengthwise.client import (
    KEY_VARIABLE,
    URL_VARIABLE,
    Client,
    ClientError,
    ConfigurationError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    TooBusyError,
    UnavailableError,
    UnreachableError,
)

#: Exit codes. 1: the command waited for a job, and not every item succeeded.
ITEMS_FAILED = 1
#: The command line is wrong, a file cannot be read or written, a setting is wrong, or an extra is not installed.
MISUSED = 2
#: The server refused, or there is no answer from it.
REFUSED = 3
#: All items succeeded, but some results have warnings, and --fail-on-warnings was given.
WARNED = 4

#: Where ``lengthwise up`` keeps the admin key that it made.
KEY_FILE = Path(".lengthwise/admin.key")

#: Seconds of retries while a server is away. A command that waits for a job retries longer: the job goes on meanwhile.
RETRY_SECONDS = 3.0
LONG_RETRY_SECONDS = 120.0
#: And of the question whether a job exists, after the command was interrupted: it includes one longer Retry-After.
ASK_SECONDS = 8.0

Url = Annotated[str, typer.Option("--url", envvar=URL_VARIABLE, help="URL of the API.", metavar="URL")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", envvar=KEY_VARIABLE, help=f"API key; for an API on this machine, {KEY_FILE} is read by default."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, for programs.")]
FailOnWarnings = Annotated[
    bool, typer.Option("--fail-on-warnings", help=f"Exit with {WARNED} if results have warnings.")
]
OnlyResults = Annotated[
    bool, typer.Option("--only-results", help="In OUT as a table: leave out the columns of the table that was sent.")
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")]

_ADVICE: dict[type[ClientError], str] = {
    UnreachableError: f"is it running? `lengthwise up` starts one here; --url or {URL_VARIABLE} name another",
    NotAllowedError: f"give a key that may do this: --key or {KEY_VARIABLE}",
    NotFoundError: "`lengthwise jobs` lists the jobs there are",
    ConflictError: "`lengthwise status ID` shows its state",
    TooBusyError: "try again later",
    UnavailableError: "try again later; nothing was lost",
}


def say(line: str) -> None:
    """Prints a message for people, on stderr."""
    typer.echo(line, err=True)


def console(*, err: bool = False) -> Console:
    """A console on stdout, or on stderr. Output that is piped has no colours and is not cut to the terminal's width."""
    made = Console(stderr=err, highlight=False)
    return made if made.is_terminal else Console(stderr=err, highlight=False, width=200, no_color=True)


def print_json(value: Any) -> None:
    """Prints one line of JSON on stdout, with all fields that the API sent."""
    typer.echo(json_line.written(value.model_dump(mode="json") if isinstance(value, BaseModel) else value), nl=False)


def open_client(
    url: str, key: str | None, retry_seconds: float, on_request: Callable[[httpx.Request], None] | None = None
) -> Client:
    """A client that says on stderr when it begins to retry. ``on_request`` is told of each request before it is sent.

    Raises ``ConfigurationError``.
    """

    def say_retry(error: ClientError, left_seconds: float) -> None:
        if left_seconds == retry_seconds:  # the first pause of a series
            say(f"lengthwise: {error}; trying again for up to {left_seconds:.0f} s")

    http = httpx.Client(event_hooks={"request": [on_request] if on_request else []})
    return Client(url, key or local_key(url), retry_seconds=retry_seconds, http=http, on_retry=say_retry)


@contextmanager
def connected(url: str, key: str | None, retry_seconds: float = RETRY_SECONDS) -> Iterator[Client]:
    """A client. If it raises an error, the command ends with one line that says what to do, and with an exit code."""
    with _ending(), open_client(url, key, retry_seconds) as client:
        yield client


@contextmanager
def _ending() -> Iterator[None]:
    try:
        with interrupt.catching():
            yield
    except ClientError as error:
        advice = next((advice for kind, advice in _ADVICE.items() if isinstance(error, kind)), None)
        if isinstance(error, ConflictError) and error.field is not None:
            advice = None  # it is about what was sent, such as a model that cannot be served, and about no job
        say(f"lengthwise: {error}" + (f"; {advice}" if advice else ""))
        raise typer.Exit(REFUSED) from None
    except ConfigurationError as error:
        say(f"lengthwise: {error}")
        raise typer.Exit(MISUSED) from None


@contextmanager
def submitting(
    url: str, key: str | None, retry_seconds: float = RETRY_SECONDS, idempotency_key: str | None = None
) -> Iterator[tuple[Client, str]]:
    """As ``connected``, for one submission under the idempotency key that is yielded too.

    If it is interrupted, the command says whether there is a job.
    """
    name, sent = idempotency_key or uuid4().hex, Event()

    def ask() -> Client:
        return open_client(url, key, ASK_SECONDS)

    with (
        _ending(),
        interrupt.while_submitting(ask, name, sent.is_set),
        open_client(url, key, retry_seconds, on_request=lambda _: sent.set()) as client,
    ):
        yield client, name


def local_key(url: str, file: Path = KEY_FILE) -> str | None:
    """The key that ``lengthwise up`` keeps in ``file``; None if there is none, or the API is elsewhere."""
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
    """Whether stderr is a terminal."""
    return os.isatty(2)
