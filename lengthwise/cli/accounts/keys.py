"""``lengthwise keys``: API keys and their scopes."""

import re
from typing import Annotated, Any

import typer
from rich.table import Table

from lengthwise.cli.api_session import DATA, ApiSession, Data, segment
from lengthwise.cli.connection import AsJson, Key, Url, console, print_json, say
from lengthwise.client import DEFAULT_URL, ConfigurationError

app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True)

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `list` shows it.")]
_Tenant = Annotated[str | None, typer.Option(help="Id of another tenant; only the first tenant's admin may name one.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the key.")],
    scopes: Annotated[str, typer.Option(help="submit, read, webhooks, admin; separated by commas.")] = "submit,read",
    expires_in: Annotated[str | None, typer.Option(help="Lifetime, such as 90d, 12h or 3600 (seconds).")] = None,
    tenant: _Tenant = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. It is never shown again."""
    wanted: dict[str, Any] = {"name": name, "scopes": [scope.strip() for scope in scopes.split(",")]}
    if expires_in is not None:
        wanted["expires_in_seconds"] = _seconds(expires_in, "--expires-in")
    if tenant is not None:
        wanted["tenant"] = tenant
    _show_made(ApiSession(url, key, data).ask("POST", "/v1/keys", json=wanted), as_json)


def _seconds(text: str, option: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text, re.ASCII)
    if found is None:
        raise ConfigurationError(f"{option}: expected seconds, or a number with s, m, h or d, such as 90d")
    return int(found[1]) * _UNITS[found[2]]


def _show_made(made: dict[str, Any], as_json: bool) -> None:
    """Prints only the key on stdout, for scripts, and the rest on stderr."""
    if as_json:
        print_json(made)
        return
    say(f"key {made['id']} with scopes {', '.join(made['scopes'])}; it is not shown again")
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
    console().print(table)


@app.command()
def rotate(
    key_id: _Id,
    overlap: Annotated[str, typer.Option(help="How long the old key stays valid, such as 1d or 0.")] = "1d",
    url: Url = DEFAULT_URL,
    key: Key = None,
    data: Data = DATA,
    as_json: AsJson = False,
) -> None:
    """Replace a key by a new one. The old key stays valid for a while."""
    wanted = {"overlap_seconds": _seconds(overlap, "--overlap")}
    _show_made(ApiSession(url, key, data).ask("POST", f"/v1/keys/{segment(key_id)}/rotate", json=wanted), as_json)


@app.command()
def revoke(key_id: _Id, url: Url = DEFAULT_URL, key: Key = None, data: Data = DATA, as_json: AsJson = False) -> None:
    """Revoke a key for good. It takes effect within a second."""
    revoked = ApiSession(url, key, data).ask("POST", f"/v1/keys/{segment(key_id)}/revoke")
    if as_json:
        print_json(revoked)
    else:
        say(f"key {revoked['id']} is revoked")
