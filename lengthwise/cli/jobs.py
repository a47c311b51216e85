"""``lengthwise jobs``, ``status``, ``cancel``, ``retry`` and ``delete``."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from lengthwise.cli import connection, interrupt, watch
from lengthwise.cli.connection import AsJson, JobId, Key, Url, connected, console, print_json, say, submitting
from lengthwise.client import DEFAULT_URL, Job

_ASK = "the job may have changed or not: `lengthwise status {}` shows it"


def jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Number of jobs to list.")] = 20,
    idempotency_key: Annotated[
        str | None, typer.Option(help="List only the job that was submitted under this name.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """List jobs, the newest first."""
    with connected(url, key) as client:
        found = list(client.jobs(limit, idempotency_key=idempotency_key))
    if as_json:
        print_json([job.info.model_dump(mode="json") for job in found])
        return
    table = Table("id", "kind", "model", "state", "done", "failed", "warnings", "created", box=None)
    for job in found:
        counts = job.counts
        done = f"{counts.total - counts.pending}/{counts.total}"
        figures = (done, str(counts.failed), watch.warnings(job), _local(job.info.created_at))
        table.add_row(job.id, job.info.kind, job.info.model, job.state, *figures)
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
        "kind": f"{info.kind}, model {info.model}",
        "state": job.state,
        "items": ", ".join(f"{number} {name}" for name, number in job.counts.model_dump().items() if number),
        "warnings": watch.warnings(job),
        "speed": f"{info.items_per_second:.1f} items/s",
        "created": _local(info.created_at),
        "ends about" if info.finished_at is None else "ended": _local(info.finished_at or info.estimated_end_at),
        "kept until": _local(info.expires_at),
        "retry of": info.retry_of or "",
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    console().print(table)


def _local(at: datetime | None) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at else ""
