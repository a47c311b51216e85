"""``lengthwise webhooks``: webhook endpoints and their deliveries."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from lengthwise.cli.api_session import ApiSession, segment
from lengthwise.cli.connection import AsJson, Key, Url, console, print_json
from lengthwise.client import DEFAULT_URL

app = typer.Typer(help="Manage webhook endpoints and their deliveries.", no_args_is_help=True)

EndpointId = Annotated[str, typer.Argument(metavar="ID", help="Id of the endpoint.")]
Limit = Annotated[int, typer.Option(min=1, max=100, help="Number of entries, the newest first.")]

_PATH = "/v1/webhook-endpoints"


@app.callback()
def webhooks() -> None:
    """Manage webhook endpoints and their deliveries."""


@app.command()
def create(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="URL of the receiver.")],
    events: Annotated[list[str], typer.Option("--event", help="Event name, job.* or batch.*; repeatable.")],
    condition: Annotated[str | None, typer.Option("--filter", help="Results to deliver: flagged == true.")] = None,
    description: Annotated[str, typer.Option(help="Free text.")] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Create an endpoint and print its secret. It is never shown again."""
    wanted = {"url": target, "events": events, "filter": condition, "description": description}
    made = ApiSession(url, key).ask("POST", _PATH, json=wanted)
    if as_json:
        print_json(made)
        return
    for name in ("id", "secret", "public_key"):
        typer.echo(f"{name:<11} {made[name]}")


@app.command("list")
def list_endpoints(limit: Limit = 100, as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """List endpoints and their state."""
    found = ApiSession(url, key).ask("GET", _PATH, params={"limit": limit})["data"]
    if as_json:
        print_json(found)
        return
    table = Table("id", "url", "events", "filter", "state", box=None)
    for each in found:
        state = each["disabled_reason"] or ("failing" if each["failing_since"] else "enabled")
        table.add_row(each["id"], each["url"], ", ".join(each["events"]), each["filter"] or "", state)
    console().print(table)


@app.command()
def deliveries(
    endpoint: EndpointId,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """List the deliveries of an endpoint, the newest first."""
    params = {"limit": limit, **({"state": state} if state else {})}
    found = ApiSession(url, key).ask("GET", f"{_PATH}/{segment(endpoint)}/deliveries", params=params)["data"]
    if as_json:
        print_json(found)
        return
    table = Table("id", "event", "state", "attempts", "last outcome", "created", box=None)
    for each in found:
        last = each["attempts"][-1] if each["attempts"] else {}
        outcome = last.get("error") or last.get("status") or ""
        created = datetime.fromisoformat(each["created_at"]).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(each["id"], each["event"], each["state"], str(len(each["attempts"])), str(outcome), created)
    console().print(table)


@app.command()
def resend(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Id of the delivery.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Send a delivery again, with the same webhook-id."""
    found = ApiSession(url, key).ask("POST", f"/v1/deliveries/{segment(delivery)}/resend")
    print_json(found) if as_json else typer.echo(found["state"])


@app.command()
def replay(
    endpoint: EndpointId,
    since: Annotated[datetime, typer.Option(help="Start time; local time unless it has a zone.")],
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Skip deliveries that succeeded.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Send all deliveries since a time again."""
    total = 0
    start: str | None = since.astimezone().isoformat()
    while start:
        wanted = {"since": start, "only_failed": only_failed}
        found = ApiSession(url, key).ask("POST", f"{_PATH}/{segment(endpoint)}/replay", json=wanted)
        total, start = total + found["replayed"], found["next_since"]
    print_json({"replayed": total}) if as_json else typer.echo(f"{total} deliveries will be sent again")


@app.command()
def rotate(
    endpoint: EndpointId,
    overlap: Annotated[float, typer.Option(min=0, help="Seconds for which the old secrets sign as well.")] = 86_400,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Create new secrets. The old ones sign as well for a while."""
    made = ApiSession(url, key).ask("POST", f"{_PATH}/{segment(endpoint)}/rotate", json={"overlap_seconds": overlap})
    if as_json:
        print_json(made)
        return
    for name in ("secret", "public_key"):
        typer.echo(f"{name:<11} {made[name]}")


@app.command()
def delete(endpoint: EndpointId, as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """Delete an endpoint with its deliveries."""
    ApiSession(url, key).ask("DELETE", f"{_PATH}/{segment(endpoint)}")
    print_json({"deleted": True}) if as_json else typer.echo("deleted")
