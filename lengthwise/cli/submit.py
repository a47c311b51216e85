"""``lengthwise submit``: submits the items of a file as a job, and can write its results to another file."""

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli import connection, download, job_options, kind_options
from lengthwise.cli.connection import AsJson, FailOnWarnings, Key, OnlyResults, Url, say, submitting
from lengthwise.cli.ending import Ending, Force
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
from lengthwise.client import DEFAULT_URL


def submit(
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
        params = job_options.read_params(param or [], kind_options.option_values(ctx))
        columns = job_options.column_names(params, column, id_column, metadata_column, delimiter, encoding)
        job = job_options.sent_file(
            client.submit_file,
            file,
            file_format=file_format,
            columns=columns,
            kind=kind,
            model=model,
            priority=priority,
            deadline=deadline,
            webhook=webhook,
            name=name,
            tags=tag or None,
            source_file=job_options.source_file(file),
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
