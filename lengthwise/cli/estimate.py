"""``lengthwise estimate``: what a file would take as a job."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from lengthwise.cli import connection, job_options, kind_options
from lengthwise.cli.connection import AsJson, Key, Url, connected, console, print_json, say
from lengthwise.cli.job_options import (
    Deadline,
    Delimiter,
    Encoding,
    IdColumn,
    JobFile,
    JobName,
    JobPriority,
    KindName,
    MetadataColumns,
    ModelName,
    NamedFormat,
    Params,
    Tags,
    TextColumns,
    WebhookUrl,
)
from lengthwise.client import DEFAULT_URL, EstimateInfo

_SOURCES = {
    "measured": "measured in the last minute",
    "trial": "of one worker, in a short trial",
}


def estimate(
    ctx: typer.Context,
    file: JobFile,
    kind: KindName,
    param: Params = None,
    model: ModelName = None,
    priority: JobPriority = None,
    deadline: Deadline = None,
    webhook: WebhookUrl = None,
    column: TextColumns = None,
    id_column: IdColumn = None,
    metadata_column: MetadataColumns = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    file_format: NamedFormat = None,
    name: JobName = None,
    tag: Tags = None,
    n_items: Annotated[
        int | None, typer.Option("--items", min=1, help="Items of the whole job, if FILE is a sample of them.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Read only the first so many items, and count the rest.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Say what a file would take as a job: tokens, time, and what would refuse it. Nothing is stored."""
    with connected(url, key, connection.LONG_RETRY_SECONDS) as client:
        params = job_options.read_params(param or [], kind_options.option_values(ctx))
        columns = job_options.column_names(params, column, id_column, metadata_column, delimiter, encoding)
        found = job_options.sent_file(
            client.estimate_file,
            file,
            file_format=file_format,
            columns=columns,
            kind=kind,
            n_items=n_items,
            sample=sample,
            model=model,
            priority=priority,
            deadline=deadline,
            webhook=webhook,
            name=name,
            tags=tag or None,
            source_file=job_options.source_file(file),
            **params,
        )
    if as_json:
        print_json(found)
        return
    _show(found)
    for refusal in found.refusals:
        later = f"; try again in {refusal.retry_after} s" if refusal.retry_after else ""
        say(f"it would be refused now: {refusal.detail}{later}")


def _show(found: EstimateInfo) -> None:
    speed, padded = found.speed, found.padded_tokens - found.input_tokens
    read = "" if found.measured_items == found.items else f", from the first {found.measured_items:,}"
    failing = f", of which {found.failing_items:,} would fail at once" if found.failing_items else ""
    rows = {
        "job": f"{found.kind}, model {found.model}, priority {found.priority}",
        "items": f"{found.items:,}{failing}{read}",
        "input tokens": f"{found.input_tokens:,} in {_shards(found.shards)}, and {max(padded, 0):,} of padding",
        "ahead of it": f"{found.tokens_ahead:,} tokens",
        "speed": _speed(speed.tokens_per_second, speed.source) or f"not known: {speed.reason}",
        "takes": _duration(found.own_seconds),
        "ends": _end(found.seconds, found.estimated_end_at),
    }
    table = Table(box=None, show_header=False)
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))  # no markup: the name of a model may hold brackets
    console().print(table)


def _shards(number: int) -> str:
    return f"{number:,} shard{'s' * (number != 1)}"


def _speed(tokens_per_second: float | None, source: str | None) -> str:
    if not tokens_per_second:
        return ""
    return f"{tokens_per_second:,.0f} tokens/s, {_SOURCES.get(source or '', source)}"


def _end(seconds: float | None, at: datetime | None) -> str:
    if seconds is None:
        return ""
    return f"in {_duration(seconds)}" + (f", about {at.astimezone():%Y-%m-%d %H:%M}" if at else "")


def _duration(seconds: float | None) -> str:
    """In the largest unit that fits; empty if it is not known."""
    if seconds is None:
        return ""
    for name, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"
