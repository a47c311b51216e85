"""``lengthwise usage``: what was used, by day, key or model."""

import csv
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lengthwise.cli.api_session import DATA, ApiSession, Data, segment
from lengthwise.cli.connection import AsJson, Key, Url, console, print_json
from lengthwise.client import DEFAULT_URL, ConfigurationError


class SummedBy(StrEnum):
    """What usage can be summed by."""

    DAY = "day"
    KEY = "key"
    MODEL = "model"


_FIGURES = ("requests", "items", "input_tokens", "output_tokens")
#: What stands for a group that has no name: the installation's own key, and what belongs to no model.
_UNNAMED = {SummedBy.KEY: "admin key", SummedBy.MODEL: "–"}
#: The length of the longest bar, the least room for bars, and what stands around them.
_BAR_CELLS = 30
_FEW_CELLS = 8
_PADDING_CELLS = 2


def usage(
    by: Annotated[
        list[SummedBy] | None, typer.Option(help="What to sum by; repeatable: --by day --by model. Default: day.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day, such as 2031-01-31.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day; default: today.")] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Id of a tenant; only the first tenant's admin may name another.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    data: Data = DATA,
) -> None:
    """Show requests, items and tokens of the last 30 days, or of the days given; days are of UTC."""
    if as_csv and as_json:
        raise ConfigurationError("--csv and --json cannot both be given")
    groups = list(dict.fromkeys(by or [SummedBy.DAY]))
    wanted = {"by": groups, "from": first, "to": last}
    path = "/v1/usage" if tenant is None else f"/v1/tenants/{segment(tenant)}/usage"
    query = {name: value for name, value in wanted.items() if value is not None}
    found: list[dict[str, Any]] = ApiSession(url, key, data).ask("GET", path, params=query)["data"]
    if as_json:
        print_json(found)
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, [*groups, *_FIGURES], lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(found)
    else:
        _show(found, groups, console())


def _show(found: list[dict[str, Any]], groups: list[SummedBy], on: Console) -> None:
    """A row for each sum, with a bar of its tokens where a terminal has the room and the characters for it."""
    table = _table(found, groups)
    room = on.width - on.measure(table).maximum - _PADDING_CELLS
    if on.is_terminal and on.encoding.startswith("utf") and room >= _FEW_CELLS:
        table = _table(found, groups, bar_cells=min(room, _BAR_CELLS))
    on.print(table)


def _table(found: list[dict[str, Any]], groups: list[SummedBy], bar_cells: int = 0) -> Table:
    table = Table(box=None)
    for group in groups:
        table.add_column(group, overflow="fold")
    for name in _FIGURES:
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    if bar_cells:
        table.add_column("tokens")
    tokens = [row["input_tokens"] + row["output_tokens"] for row in found]
    most = max(tokens, default=0)
    for row, n_tokens in zip(found, tokens, strict=True):
        names = [Text(row.get(group) or _UNNAMED[group]) for group in groups]  # no markup: names may hold brackets
        bar = [Bar(most, 0, n_tokens, width=bar_cells)] if bar_cells else []
        table.add_row(*names, *(f"{row[name]:,}" for name in _FIGURES), *bar)
    return table
