"""``lengthwise webhooks``: endpoints and their deliveries, over HTTP."""

import os
from datetime import datetime
from typing import Annotated, Any

import httpx
import typer
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="Webhook endpoints and their deliveries.", no_args_is_help=True)

_REFUSED = 3
_SECONDS = 60.0

Url = Annotated[str, typer.Option("--url", envvar="LENGTHWISE_URL", help="Where the API is.", metavar="URL")]
Key = Annotated[str | None, typer.Option("--key", envvar="LENGTHWISE_API_KEY", help="The API key.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]
EndpointId = Annotated[str, typer.Argument(metavar="ID", help="The endpoint's id.")]
Limit = Annotated[int, typer.Option(min=1, max=100, help="At most so many, the newest.")]

_HERE = "http://127.0.0.1:8000"
_PATH = "/v1/webhook-endpoints"


@app.callback()
def webhooks() -> None:
    """Webhook endpoints and their deliveries."""


def _ask(url: str, key: str | None, method: str, path: str, **request: Any) -> Any:
    """The answer's JSON; one that is refused ends the command with one line."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=_SECONDS) as client:
            answer = client.request(method, path, **request)
    except (httpx.HTTPError, httpx.InvalidURL):
        raise _refused(f"there is no answer from {url}; is it running? --url or LENGTHWISE_URL name another") from None
    if answer.is_success:
        return answer.json() if answer.content else None
    raise _refused(_reason(answer))


def _reason(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        field = problem.get("field")
        return f"{field} {problem['detail']}" if field else str(problem["detail"])
    except (ValueError, KeyError, AttributeError):
        return f"the server answered {answer.status_code}"


def _refused(reason: str) -> typer.Exit:
    typer.echo(f"lengthwise: {reason}", err=True)
    return typer.Exit(_REFUSED)


def _print(value: Any) -> None:
    typer.echo(to_json(value).decode())


def _show(table: Table) -> None:
    is_terminal = os.isatty(1)
    Console(highlight=False, no_color=not is_terminal, width=None if is_terminal else 200).print(table)


@app.command()
def create(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The receiver's URL.")],
    events: Annotated[list[str], typer.Option("--event", help="A name, job.* or batch.*; may be repeated.")],
    condition: Annotated[str | None, typer.Option("--filter", help="Which results job.results has.")] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: AsJson = False,
    url: Url = _HERE,
    key: Key = None,
) -> None:
    """Register a receiver. Its secret is shown here and nowhere else."""
    wanted = {"url": target, "events": events, "filter": condition, "description": description}
    made = _ask(url, key, "POST", _PATH, json=wanted)
    if as_json:
        _print(made)
        return
    for name in ("id", "secret", "public_key"):
        typer.echo(f"{name:<11} {made[name]}")


@app.command("list")
def list_endpoints(limit: Limit = 100, as_json: AsJson = False, url: Url = _HERE, key: Key = None) -> None:
    """List the endpoints, and how they fare."""
    found = _ask(url, key, "GET", _PATH, params={"limit": limit})["data"]
    if as_json:
        _print(found)
        return
    table = Table("id", "url", "events", "filter", "state", box=None)
    for each in found:
        state = each["disabled_reason"] or ("failing" if each["failing_since"] else "enabled")
        table.add_row(each["id"], each["url"], ", ".join(each["events"]), each["filter"] or "", state)
    _show(table)


@app.command()
def deliveries(
    endpoint: EndpointId,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    url: Url = _HERE,
    key: Key = None,
) -> None:
    """List an endpoint's deliveries, the newest first."""
    params = {"limit": limit, **({"state": state} if state else {})}
    found = _ask(url, key, "GET", f"{_PATH}/{_segment(endpoint)}/deliveries", params=params)["data"]
    if as_json:
        _print(found)
        return
    table = Table("id", "event", "state", "attempts", "last outcome", "created", box=None)
    for each in found:
        last = each["attempts"][-1] if each["attempts"] else {}
        outcome = last.get("error") or last.get("status") or ""
        created = datetime.fromisoformat(each["created_at"]).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(each["id"], each["event"], each["state"], str(len(each["attempts"])), str(outcome), created)
    _show(table)


@app.command()
def resend(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="The delivery's id.")],
    as_json: AsJson = False,
    url: Url = _HERE,
    key: Key = None,
) -> None:
    """Send a delivery again, under the same webhook-id."""
    found = _ask(url, key, "POST", f"/v1/deliveries/{_segment(delivery)}/resend")
    _print(found) if as_json else typer.echo(found["state"])


@app.command()
def replay(
    endpoint: EndpointId,
    since: Annotated[datetime, typer.Option(help="From when on; in this machine's time unless it has a zone.")],
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Not those that arrived.")] = False,
    as_json: AsJson = False,
    url: Url = _HERE,
    key: Key = None,
) -> None:
    """Send again what was written since a time."""
    total = 0
    start: str | None = since.astimezone().isoformat()
    while start:
        wanted = {"since": start, "only_failed": only_failed}
        found = _ask(url, key, "POST", f"{_PATH}/{_segment(endpoint)}/replay", json=wanted)
        total, start = total + found["replayed"], found["next_since"]
    _print({"replayed": total}) if as_json else typer.echo(f"{total} deliveries are sent again")


@app.command()
def rotate(
    endpoint: EndpointId,
    overlap: Annotated[float, typer.Option(min=0, help="Seconds for which the old secrets sign too.")] = 86_400,
    as_json: AsJson = False,
    url: Url = _HERE,
    key: Key = None,
) -> None:
    """Make new secrets, the old ones signing beside them for a while."""
    made = _ask(url, key, "POST", f"{_PATH}/{_segment(endpoint)}/rotate", json={"overlap_seconds": overlap})
    if as_json:
        _print(made)
        return
    for name in ("secret", "public_key"):
        typer.echo(f"{name:<11} {made[name]}")


@app.command()
def delete(endpoint: EndpointId, as_json: AsJson = False, url: Url = _HERE, key: Key = None) -> None:
    """Remove an endpoint with its deliveries."""
    _ask(url, key, "DELETE", f"{_PATH}/{_segment(endpoint)}")
    _print({"deleted": True}) if as_json else typer.echo("deleted")


def _segment(given: str) -> str:
    """An id as a part of a path: a slash in it would make it another path."""
    return "".join(character for character in given if character.isalnum() or character == "-") or "-"
