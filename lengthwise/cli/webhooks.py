"""``lengthwise webhooks``: endpoints and their deliveries, over HTTP."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from lengthwise.cli.api_session import ApiSession, segment
from lengthwise.cli.connection import AsJson, Key, Url, console, print_json
from lengthwise.client._address import DEFAULT_URL

app = typer.Typer(help="Webhook endpoints and their deliveries.", no_args_is_help=True)

EndpointId = Annotated[str, typer.Argument(metavar="ID", help="The endpoint's id.")]
Limit = Annotated[int, typer.Option(min=1, max=100, help="At most so many, the newest.")]

_PATH = "/v1/webhook-endpoints"


@app.callback()
def webhooks() -> None:
    """Webhook endpoints and their deliveries."""


@app.command()
def create(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The receiver's URL.")],
    events: Annotated[list[str], typer.Option("--event", help="A name, job.* or batch.*; may be repeated.")],
    condition: Annotated[str | None, typer.Option("--filter", help="Which results job.results has.")] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Register a receiver. Its secret is shown here and nowhere else."""
    wanted = {"url": target, "events": events, "filter": condition, "description": description}
    made = ApiSession(url, key).ask("POST", _PATH, json=wanted)
    if as_json:
        print_json(made)
        return
    for name in ("id", "secret", "public_key"):
        typer.echo(f"{name:<11} {made[name]}")


@app.command("list")
def list_endpoints(limit: Limit = 100, as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """List the endpoints, and how they fare."""
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
    """List an endpoint's deliveries, the newest first."""
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
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="The delivery's id.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Send a delivery again, under the same webhook-id."""
    found = ApiSession(url, key).ask("POST", f"/v1/deliveries/{segment(delivery)}/resend")
    print_json(found) if as_json else typer.echo(found["state"])


@app.command()
def replay(
    endpoint: EndpointId,
    since: Annotated[datetime, typer.Option(help="From when on; in this machine's time unless it has a zone.")],
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Not those that arrived.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Send again what was written since a time."""
    total = 0
    start: str | None = since.astimezone().isoformat()
    while start:
        wanted = {"since": start, "only_failed": only_failed}
        found = ApiSession(url, key).ask("POST", f"{_PATH}/{segment(endpoint)}/replay", json=wanted)
        total, start = total + found["replayed"], found["next_since"]
    print_json({"replayed": total}) if as_json else typer.echo(f"{total} deliveries are sent again")


@app.command()
def rotate(
    endpoint: EndpointId,
    overlap: Annotated[float, typer.Option(min=0, help="Seconds for which the old secrets sign too.")] = 86_400,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Make new secrets, the old ones signing beside them for a while."""
    made = ApiSession(url, key).ask("POST", f"{_PATH}/{segment(endpoint)}/rotate", json={"overlap_seconds": overlap})
    if as_json:
        print_json(made)
        return
    for name in ("secret", "public_key"):
        typer.echo(f"{name:<11} {made[name]}")


@app.command()
def delete(endpoint: EndpointId, as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """Remove an endpoint with its deliveries."""
    ApiSession(url, key).ask("DELETE", f"{_PATH}/{segment(endpoint)}")
    print_json({"deleted": True}) if as_json else typer.echo("deleted")
