"""``lengthwise results``: writes the results of a job to a file or to stdout."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli import connection, output, watch
from lengthwise.cli.connection import AsJson, JobId, Key, OnlyResults, Url, connected, say
from lengthwise.cli.download import download
from lengthwise.cli.submit import follow
from lengthwise.client import DEFAULT_URL


def results(
    job_id: JobId,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="File to write, in the format of its suffix; default: stdout."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    only_results: OnlyResults = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Write the results of a job. If the download breaks, run the command again: it continues from OUT.part."""
    with connected(url, key, connection.LONG_RETRY_SECONDS) as client:
        if out is not None:
            output.check(out)
        job = client.job(job_id)
        if wait and out is not None:
            follow(job, out, as_json, only_results)
        if wait:
            watch.until_ended(job)
        if out is None:
            for line in job.lines(follow=False):
                sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        else:
            download(job, out, only_results=only_results)
            if as_json:
                connection.print_json(job.info)
        say(watch.summary(job) + (f"; results in {out}" if out else ""))
        if not job.info.has_ended:
            say(f"{job.counts.pending} are still to come: run this again with --wait")
        raise typer.Exit(watch.exit_code(job))
