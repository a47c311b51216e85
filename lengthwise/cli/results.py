"""``lengthwise results``: writes the results of a job to a file or to stdout."""

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli import connection, download
from lengthwise.cli.connection import AsJson, FailOnWarnings, JobId, Key, OnlyResults, Url, connected
from lengthwise.cli.ending import Ending, Force
from lengthwise.client import DEFAULT_URL


def results(
    job_id: JobId,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="File to write, in the format of its suffix; default: stdout."),
    ] = None,
    force: Force = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")] = False,
    fail_on_warnings: FailOnWarnings = False,
    only_results: OnlyResults = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Write the results of a job. If the download breaks, run the command again: it continues from OUT.part."""
    with connected(url, key, connection.LONG_RETRY_SECONDS) as client:
        download.check(out, force=force)
        job = client.job(job_id)
        as_json = as_json and out is not None
        ending = Ending(job, out or Path(download.STREAM), force, fail_on_warnings, only_results, as_json)
        if wait:
            ending.wait()
        ending.finish()
