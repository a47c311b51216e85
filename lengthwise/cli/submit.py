"""``lengthwise submit``: a file becomes a job, and its results a file."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import from_json

from lengthwise.cli import connection, output, watch
from lengthwise.cli.connection import AsJson, Key, Url, connected, say
from lengthwise.cli.download import download
from lengthwise.client import Client, ColumnNames, Job
from lengthwise.client._address import DEFAULT_URL
from lengthwise.errors import ConfigurationError
from lengthwise.formats.file import FORMATS


class Priority(StrEnum):
    interactive = "interactive"
    normal = "normal"
    background = "background"


class Form(StrEnum):
    ndjson = "ndjson"
    csv = "csv"
    parquet = "parquet"
    txt = "txt"


def submit(
    file: Annotated[str, typer.Argument(help=f"{', '.join(FORMATS)}, each also .gz or .zst; or - for stdin.")],
    kind: Annotated[str, typer.Option(help="translate, moderate, chat, generate, embed.")],
    source: Annotated[str | None, typer.Option("--from", help="Of translate: the texts' language.")] = None,
    target: Annotated[str | None, typer.Option("--to", help="Of translate: the language to translate into.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="Another of the kind's parameters.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="One of `lengthwise models`.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Before or behind other jobs.")] = None,
    deadline: Annotated[str | None, typer.Option(help="When to drop what has not run: 2031-01-31T12:00:00Z.")] = None,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Where the job's end is announced.")] = None,
    column: Annotated[str | None, typer.Option(help="Of a table: the column of the texts; text if not given.")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Of a table: the column of the ids; id if there is one.")
    ] = None,
    metadata_column: Annotated[
        list[str] | None, typer.Option(help="Of a table: a column that comes back with the results.")
    ] = None,
    form: Annotated[Form | None, typer.Option("--format", help="Instead of the suffix; ndjson for stdin.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="A name for this submission: the same again is the same job.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the job's end.")] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Wait, and write the results: its suffix says how.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Submit the items of a file as a job; print its id, or wait and write its results."""
    with connected(url, key, connection.LONG_PATIENCE) as client:
        if out is not None:
            output.check(out)
        job = _submitted(
            client,
            file,
            form=form and form.value,
            columns=ColumnNames(column, id_column, metadata_column or ()),
            kind=kind,
            model=model,
            priority=priority and priority.value,
            deadline=deadline,
            webhook=webhook,
            idempotency_key=idempotency_key,
            **_params(param or [], source, target),
        )
        if wait or out is not None:
            follow(job, out, as_json)
        elif as_json:
            connection.print_json(job.info)
        else:
            typer.echo(job.id)
            say(f"submitted {job.counts.total} items; `lengthwise status {job.id} --watch` follows them")


def _submitted(client: Client, file: str, *, form: Any, **options: Any) -> Job:
    if file == "-":
        return client.submit_file(sys.stdin.buffer, form=form or "ndjson", **options)
    return client.submit_file(file, form=form, **options)


def _params(given: list[str], source: str | None, target: str | None) -> dict[str, Any]:
    """Values are JSON where they are that, else text. Raises ``ConfigurationError``."""
    found: dict[str, Any] = {"source": source, "target": target}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigurationError("--param is NAME=VALUE, such as temperature=0.7")
        try:
            found[name] = from_json(value, allow_inf_nan=False)
        except ValueError:
            found[name] = value
    return found


def follow(job: Job, out: Path | None, as_json: bool) -> None:
    """Waits for the job's end, writes its results if they are wanted, and exits with how it went."""
    try:
        watch.until_ended(job)
    except KeyboardInterrupt:
        more = f" -o {out}" if out else ""
        say(f"\nthe job goes on: `lengthwise results {job.id} --wait{more}` comes back to it, ")
        say(f"`lengthwise cancel {job.id}` ends it")
        raise typer.Exit(connection.INTERRUPTED) from None
    if out is not None:
        download(job, out)
    say(watch.summary(job) + (f"; results in {out}" if out else ""))
    if as_json:
        connection.print_json(job.info)
    elif out is None:
        typer.echo(job.id)
    raise typer.Exit(watch.exit_code(job))
