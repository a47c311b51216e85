"""The tables that the demonstration prints: samples of the results, figures and webhooks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")  # Chinese has no spaces at which a line could break
    return table


def translations(console: Console, sources: Mapping[str, str], rows: Iterable[Row]) -> None:
    table = _table("Translated", "id", "text", "translation")
    for row in rows:
        table.add_row(row["id"], sources[row["id"]], row["output"]["text"])
    console.print(table)


def moderations(console: Console, sources: Mapping[str, str], rows: Iterable[Row]) -> None:
    table = _table("Moderated", "id", "comment", "flagged as", "highest score")
    for row in rows:
        output = row["output"]
        categories = [name for name, is_set in output["categories"].items() if is_set]
        name, score = max(output["scores"].items(), key=lambda pair: pair[1])
        table.add_row(row["id"], sources[row["id"]], ", ".join(categories) or "–", f"{name} {score:.2f}")
    console.print(table)


def figures(console: Console, jobs: Sequence[Row]) -> None:
    table = _table("Figures", "")
    for job in jobs:
        table.add_column(job["kind"], justify="right")
    shown: list[tuple[str, Callable[[Row], str]]] = [
        ("items", lambda job: f"{job['counts']['total']}"),
        ("failed", lambda job: f"{job['counts']['failed']}"),
        ("items/s", lambda job: f"{job['items_per_second']:.1f}"),
        ("useful tokens/s", lambda job: f"{job['engine']['tokens_per_second']:.0f}"),
        ("engine batches", lambda job: f"{job['engine']['batches']:.0f}"),
        ("padding share", lambda job: f"{job['engine']['padding_share']:.1%}"),
        ("… in arrival order", lambda job: f"{job['engine']['padding_share_arrival_order']:.1%}"),
    ]
    for name, value in shown:
        table.add_row(name, *(value(job) for job in jobs))
    console.print(table)


def webhooks(console: Console, events: Iterable[Row]) -> None:
    table = _table("Webhooks", "event", "job", "webhook-id", "signature")
    for event in events:
        table.add_row(event["type"], event["data"]["id"], event["webhook-id"], "verified")
    console.print(table)
