"""``lengthwise submit``: submits the items of a file as a job, and can write its results to another file."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import from_json

from lengthwise.cli import connection, download, kind_options
from lengthwise.cli.connection import AsJson, FailOnWarnings, Key, OnlyResults, Url, say, submitting
from lengthwise.cli.ending import Ending, Force
from lengthwise.client import DEFAULT_URL, Client, ColumnNames, ConfigurationError, FileFormat, Job, Priority
from lengthwise.formats.file import FORMATS


def submit(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help=f"File ({', '.join(FORMATS)}; also .gz or .zst), or - for stdin.")],
    kind: Annotated[str, typer.Option()],
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="Another parameter of the kind.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model, one that `lengthwise models` lists.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Priority among jobs.")] = None,
    deadline: Annotated[str | None, typer.Option(help="When unfinished items expire: 2031-01-31T12:00:00Z.")] = None,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="URL to notify when the job has ended.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", "--text-column", help="CSV, Parquet: column of texts; repeatable; default: text."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="CSV, Parquet: column of the ids; id by default, if it exists.")
    ] = None,
    metadata_column: Annotated[
        list[str] | None, typer.Option(help="CSV, Parquet: column that NDJSON has with each result; repeatable.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="CSV: what separates the columns; ; or tab; default: found in the first row.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="CSV, text: encoding of the file, such as windows-1252; default: utf-8.")
    ] = None,
    file_format: Annotated[
        FileFormat | None,
        typer.Option("--format", help="Format, if the suffix does not say it; stdin: ndjson."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the job, for people and for `lengthwise jobs`.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag of the job, for `lengthwise jobs`; repeatable.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Name of this submission; the same name gives the same job.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Wait, and write the results in the format of this suffix; -: stdout."),
    ] = None,
    force: Force = False,
    fail_on_warnings: FailOnWarnings = False,
    only_results: OnlyResults = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Submit the items of a file as a job. Print its id, or wait and write its results."""
    with submitting(url, key, connection.LONG_RETRY_SECONDS, idempotency_key) as (client, submission):
        download.check(out, force=force, source=file)
        params = _params(param or [], kind_options.option_values(ctx))
        job = _submitted(
            client,
            file,
            file_format=file_format,
            columns=ColumnNames(
                column, id_column, metadata_column or (), _targets(params), delimiter=delimiter, encoding=encoding
            ),
            kind=kind,
            model=model,
            priority=priority,
            deadline=deadline,
            webhook=webhook,
            name=name,
            tags=tag or None,
            source_file=_source_file(file),
            idempotency_key=submission,
            **params,
        )
        if job.info.table is not None and job.info.table.format == "csv":
            say(f"columns separated by {job.info.table.delimiter!r}, {(job.info.table.encoding or '').upper()}")
        if wait or fail_on_warnings or out is not None:
            ending = Ending(job, out, force, fail_on_warnings, only_results, as_json)
            ending.wait()
            ending.finish()
        if as_json:
            connection.print_json(job.info)
        else:
            typer.echo(job.id)
            say(f"submitted {job.counts.total} items; follow them with `lengthwise status {job.id} --watch`")


def _submitted(client: Client, file: str, *, file_format: FileFormat | None, **options: Any) -> Job:
    if file == "-":
        return client.submit_file(sys.stdin.buffer, file_format=file_format or "ndjson", **options)
    return client.submit_file(file, file_format=file_format, **options)


def _source_file(file: str) -> str | None:
    """The file's own name, as UTF-8 has it and no longer than the server takes."""
    return None if file == "-" else os.fsencode(Path(file).name).decode(errors="replace")[:255] or None


def _params(pairs: list[str], options: dict[str, str]) -> dict[str, Any]:
    """A value that is not JSON is taken as text. Raises ``ConfigurationError``."""
    found: dict[str, Any] = dict(options)
    for each in pairs:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigurationError("--param must be NAME=VALUE, such as temperature=0.7")
        try:
            found[name] = from_json(value, allow_inf_nan=False)
        except ValueError:
            found[name] = value
    return found


def _targets(params: dict[str, Any]) -> list[str]:
    """Several languages in --to, such as de,fr, are the targets of a table."""
    named = params.get("target")
    return params.pop("target").split(",") if isinstance(named, str) and "," in named else []
