"""``lengthwise limits``: the limits of a tenant, and how much of each is in use."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from lengthwise.cli.connection import AsJson, Key, Url, connected, console, print_json
from lengthwise.client import DEFAULT_URL

#: The limits as the API calls them, and their headings.
HEADINGS = {
    "pending_tokens": "tokens that wait",
    "requests_per_minute": "requests a minute",
    "open_jobs": "open jobs",
    "webhook_endpoints": "webhook endpoints",
}


def limits(as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """Show the limits of the key's tenant, how much of each is in use, and what a full one refuses."""
    with connected(url, key) as client:
        found = client.limits()
    if as_json:
        print_json(found)
        return
    shown, table = found.model_dump(), Table(box=None, show_header=False)
    for name, heading in HEADINGS.items():
        table.add_row(heading, used(shown[name]))
    console().print(table)
    for line in reached(shown):
        console().print(f"limit reached: {line}", markup=False, highlight=False, soft_wrap=True)
    say_installation(shown)


def used(use: Mapping[str, Any]) -> str:
    """How much of a limit is in use: 3 of 10."""
    if use["used"] is None:
        return "no limit"
    number = f"{use['used']:,}{'+' if use['at_least'] else ''}"
    return f"{number}, no limit" if use["limit"] is None else f"{number} of {use['limit']:,}"


def reached(found: Mapping[str, Any]) -> list[str]:
    """What those limits refuse that are reached."""
    return [message for name in HEADINGS if (message := found[name]["message"])]


def say_installation(found: Mapping[str, Any]) -> None:
    """Says why no job of any tenant is taken, if that is so."""
    if found["installation"]:
        console().print(found["installation"], markup=False, highlight=False, soft_wrap=True)
