"""``lengthwise jobs``, ``status``, ``cancel``, ``retry`` and ``delete``."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from lengthwise.cli import connection, interrupt, watch
from lengthwise.cli.connection import AsJson, JobId, Key, Url, connected, console, print_json, say, submitting
from lengthwise.client import DEFAULT_URL, Job, JobErrors, State

_ASK = "the job may have changed or not: `lengthwise status {}` shows it"


def jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Number of jobs to list.")] = 20,
    state: Annotated[State | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind.")] = None,
    model: Annotated[str | None, typer.Option(help="Only jobs for this model.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    name: Annotated[str | None, typer.Option(help="Only jobs whose names begin so.")] = None,
    key_id: Annotated[
        str | None, typer.Option(help="Only jobs that this key submitted, one that `lengthwise keys list` lists.")
    ] = None,
    created_after: Annotated[
        str | None, typer.Option(help="Only jobs of this time or later: 2031-01-31T12:00:00Z.")
    ] = None,
    created_before: Annotated[str | None, typer.Option(help="Only jobs of an earlier time.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="List only the job that was submitted under this name.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """List jobs, the newest first."""
    with connected(url, key) as client:
        found = list(
            client.jobs(
                limit,
                state=state,
                kind=kind,
                model=model,
                tag=tag,
                name=name,
                key_id=key_id,
                created_after=created_after,
                created_before=created_before,
                idempotency_key=idempotency_key,
            )
        )
    if as_json:
        print_json([job.info.model_dump(mode="json") for job in found])
        return
    table = Table("id", "name", "kind", "model", "state", "done", "failed", "warnings", "created", box=None)
    for job in found:
        counts = job.counts
        done = f"{counts.total - counts.pending}/{counts.total}"
        figures = (done, str(counts.failed), watch.warnings(job), _local(job.info.created_at))
        table.add_row(job.id, Text(job.info.name or ""), job.info.kind, job.info.model, job.state, *figures)
    console().print(table)


def status(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--watch", "-w", help="Follow the job until it has ended.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Show a job. With --watch, follow it until it has ended, and exit with 1 if items failed."""
    with connected(url, key, connection.LONG_RETRY_SECONDS if follow else connection.RETRY_SECONDS) as client:
        job = client.job(job_id)
        if follow:
            with interrupt.explained(*interrupt.following(job.id)):
                watch.until_ended(job)
    _show(job, as_json)
    raise typer.Exit(watch.exit_code(job) if follow else 0)


def cancel(job_id: JobId, as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """Cancel a job. Results that exist stay readable."""
    with connected(url, key) as client, interrupt.explained(_ASK.format(job_id)):
        job = client.job(job_id).cancel()
    _show(job, as_json)


def retry(job_id: JobId, as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """Submit the failed items of a job again, as a new job, and print its id."""
    with submitting(url, key) as (client, name):
        made = client.job(job_id).retry(name)
    if as_json:
        print_json(made.info)
    else:
        typer.echo(made.id)
        say(f"submitted {made.counts.total} items again; follow them with `lengthwise status {made.id} --watch`")


def delete(job_id: JobId, as_json: AsJson = False, url: Url = DEFAULT_URL, key: Key = None) -> None:
    """Delete a job with its texts and results, for good."""
    with connected(url, key) as client, interrupt.explained(_ASK.format(job_id)):
        client.job(job_id).delete()
    if as_json:
        print_json({"id": job_id, "deleted": True})
    else:
        say(f"job {job_id} is deleted")


def _show(job: Job, as_json: bool) -> None:
    if as_json:
        print_json(job.info)
        return
    info, table = job.info, Table(box=None, show_header=False)
    rows = {
        "job": job.id,
        "name": info.name or "",
        "tags": ", ".join(info.tags),
        "file": info.source_file or "",
        "kind": f"{info.kind}, model {info.model}",
        "state": job.state,
        "why": info.progress.message if info.progress else "",
        "items": ", ".join(f"{number} {name}" for name, number in job.counts.model_dump().items() if number),
        "warnings": watch.warnings(job),
        "speed": f"{info.items_per_second:.1f} items/s",
        "created": _local(info.created_at),
        "ends about" if info.finished_at is None else "ended": _local(info.finished_at or info.estimated_end_at),
        "kept until": _local(info.expires_at),
        "retry of": info.retry_of or "",
        "errors": "\n".join(_errors(info.progress.errors if info.progress else [])),
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))  # not markup: some of it is the caller's
    console().print(table)


def _errors(found: list[JobErrors]) -> Iterator[str]:
    """A line for each code, and the command that runs the failed items again."""
    for each in found:
        number = f"at least {each.count}" if each.at_least else str(each.count)
        yield f"{number} {each.code}: {each.message or 'see its results'}; first items: {', '.join(each.first_items)}"
    if commands := list(dict.fromkeys(each.retry for each in found if each.retry)):
        yield f"run them again with `{commands[0]}`"


def _local(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at else ""
