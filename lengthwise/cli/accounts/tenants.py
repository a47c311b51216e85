"""``lengthwise tenants``: the tenants of an installation, their weights, and how much of their limits is in use."""

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from lengthwise.cli.accounts.limits import HEADINGS, reached, say_installation, used
from lengthwise.cli.api_session import DATA, ApiSession, Data, segment
from lengthwise.cli.connection import AsJson, Key, Url, console, print_json
from lengthwise.client import DEFAULT_URL, ConfigurationError

app = typer.Typer(help="Create and list tenants, and set their limits.", no_args_is_help=True)

_Limit = Annotated[str | None, typer.Option(metavar="NUMBER|none", help="none: back to the default of the settings.")]
_Weight = Annotated[float | None, typer.Option(help="Its share of the work relative to other tenants.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name, unique among tenants.")],
    weight: _Weight = None,
    max_pending_tokens: _Limit = None,
    max_requests_per_minute: _Limit = None,
    max_open_jobs: _Limit = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Create a tenant and print its id."""
    wanted = _limits(weight, max_pending_tokens, max_requests_per_minute, max_open_jobs) | {"name": name}
    _show(ApiSession(url, key, data).ask("POST", "/v1/tenants", json=wanted), as_json)


@app.command("set")
def set_limits(
    tenant: Annotated[str, typer.Argument(metavar="ID", help="Id of the tenant, as `list` shows it.")],
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    weight: _Weight = None,
    max_pending_tokens: _Limit = None,
    max_requests_per_minute: _Limit = None,
    max_open_jobs: _Limit = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Change the name, weight or limits of a tenant. Options not given stay as they are."""
    wanted = _limits(weight, max_pending_tokens, max_requests_per_minute, max_open_jobs)
    if name is not None:
        wanted["name"] = name
    _show(ApiSession(url, key, data).ask("PATCH", f"/v1/tenants/{segment(tenant)}", json=wanted), as_json)


def _limits(weight: float | None, tokens: str | None, requests: str | None, jobs: str | None) -> dict[str, Any]:
    """The limits on the command line, as fields of the API."""
    found: dict[str, Any] = {} if weight is None else {"weight": weight}
    limits = {"max_pending_tokens": tokens, "max_requests_per_minute": requests, "max_open_jobs": jobs}
    for name, text in limits.items():
        if text is not None:
            found[name] = _number(text, name)
    return found


def _number(text: str, name: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal() or not text.isascii():
        raise ConfigurationError(f"--{name.replace('_', '-')}: expected a number or none")
    return int(text)


def _show(tenant: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(tenant)
    else:
        typer.echo(tenant["id"])


@app.command("list")
def list_tenants(url: Url = DEFAULT_URL, key: Key = None, data: Data = DATA, as_json: AsJson = False) -> None:
    """List all tenants, the newest first, and how much of each limit is in use."""
    found = list(ApiSession(url, key, data).every("/v1/tenants"))
    if as_json:
        print_json(found)
        return
    table = Table("id", "name", "weight", *HEADINGS.values())
    for each in found:
        cells = (each["id"], each["name"], str(each["weight"]), *(used(each["limits"][name]) for name in HEADINGS))
        table.add_row(*map(Text, cells))  # no markup: names may hold brackets
    console().print(table)
    for each in found:
        for line in reached(each["limits"]):
            console().print(f"{each['name']}: {line}", markup=False, highlight=False, soft_wrap=True)
    for each in found[:1]:
        say_installation(each["limits"])
