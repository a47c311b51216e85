"""``lengthwise keys``: who may ask, and what."""

import re
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from lengthwise.cli.api_session import DATA, ApiSession, Data, segment
from lengthwise.cli.connection import AsJson, Key, Url, print_json
from lengthwise.client._address import DEFAULT_URL
from lengthwise.errors import ConfigurationError

app = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_Id = Annotated[str, typer.Argument(metavar="ID", help="A key's id, as list shows it.")]
_Tenant = Annotated[str | None, typer.Option(help="Another tenant's id; the first tenant's admin may name one.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scopes: Annotated[str, typer.Option(help="submit, read, webhooks or admin, with commas.")] = "submit,read",
    expires_in: Annotated[str | None, typer.Option(help="Such as 90d, 12h or 3600.")] = None,
    tenant: _Tenant = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Make a key; it is printed this once."""
    wanted: dict[str, Any] = {"name": name, "scopes": [scope.strip() for scope in scopes.split(",")]}
    if expires_in is not None:
        wanted["expires_in_seconds"] = _seconds(expires_in, "--expires-in")
    if tenant is not None:
        wanted["tenant"] = tenant
    _show_made(ApiSession(url, key, data).ask("POST", "/v1/keys", json=wanted), as_json)


def _seconds(text: str, option: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text, re.ASCII)
    if found is None:
        raise ConfigurationError(f"{option}: a number of seconds, or one with s, m, h or d, such as 90d")
    return int(found[1]) * _UNITS[found[2]]


def _show_made(made: dict[str, Any], as_json: bool) -> None:
    """The key alone on standard output, for scripts; the rest beside it."""
    if as_json:
        print_json(made)
        return
    typer.echo(f"key {made['id']}, shown this once; it may {', '.join(made['scopes'])}", err=True)
    typer.echo(made["key"])


@app.command("list")
def list_keys(
    tenant: _Tenant = None, url: Url = DEFAULT_URL, key: Key = None, data: Data = DATA, as_json: AsJson = False
) -> None:
    """List the tenant's keys, the newest first."""
    found = list(ApiSession(url, key, data).every("/v1/keys", tenant=tenant))
    if as_json:
        print_json(found)
        return
    table = Table("id", "name", "scopes", "created", "expires", "revoked")
    for each in found:
        times = (each["created_at"], each["expires_at"], each["revoked_at"])
        table.add_row(each["id"], each["name"], ", ".join(each["scopes"]), *((time or "–")[:19] for time in times))
    Console().print(table)


@app.command()
def rotate(
    key_id: _Id,
    overlap: Annotated[str, typer.Option(help="How long the old key goes on, such as 1d or 0.")] = "1d",
    url: Url = DEFAULT_URL,
    key: Key = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Make a new key in place of one, which goes on for a while."""
    wanted = {"overlap_seconds": _seconds(overlap, "--overlap")}
    _show_made(ApiSession(url, key, data).ask("POST", f"/v1/keys/{segment(key_id)}/rotate", json=wanted), as_json)


@app.command()
def revoke(key_id: _Id, url: Url = DEFAULT_URL, key: Key = None, data: Data = DATA, as_json: AsJson = False) -> None:
    """Let a key in no more, within a second and for good."""
    revoked = ApiSession(url, key, data).ask("POST", f"/v1/keys/{segment(key_id)}/revoke")
    if as_json:
        print_json(revoked)
    else:
        typer.echo(f"key {revoked['id']} is revoked", err=True)
