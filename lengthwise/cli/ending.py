"""How ``lengthwise submit`` and ``results`` end: they wait for a job, write its results, and say how it went."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lengthwise.cli import connection, interrupt, watch
from lengthwise.cli.connection import say
from lengthwise.cli.download import STREAM, download
from lengthwise.client import Job

Force = Annotated[bool, typer.Option("--force", "-f", help="Replace OUT if it exists.")]


@dataclass(frozen=True, slots=True)
class Ending:
    """What to do with a job. Without ``out``, its results are not wanted."""

    job: Job
    out: Path | None
    force: bool
    fail_on_warnings: bool
    only_results: bool
    as_json: bool

    def wait(self) -> None:
        """Waits until the job has ended. If this is interrupted, says that the job goes on."""
        with interrupt.explained(*interrupt.following(self.job.id, self._options)):
            watch.until_ended(self.job)

    def finish(self) -> NoReturn:
        """Writes the results, prints a summary, and ends the command with the exit code that says how the job went."""
        job, out = self.job, self.out
        if out is not None:
            again = f"go on with `lengthwise results {job.id}{self._options}`"
            with interrupt.explained(f"the job {job.id} keeps its results: {again}"):
                download(job, out, force=self.force, only_results=self.only_results)
        is_stream = out is None or str(out) == STREAM
        say(watch.summary(job) + ("" if is_stream else f"; results in {out}"))
        for line in watch.warning_lines(job):
            say(line)
        if out is not None and not job.info.has_ended:
            say(f"{job.counts.pending} are still to come: run this again with --wait{'' if is_stream else ' --force'}")
        if self.as_json and (out is None or not is_stream):
            connection.print_json(job.info)
        elif out is None:
            typer.echo(job.id)
        raise typer.Exit(watch.exit_code(job, fail_on_warnings=self.fail_on_warnings))

    @property
    def _options(self) -> str:
        """The options of ``lengthwise results`` that write the same file."""
        if self.out is None or str(self.out) == STREAM:
            return ""
        options = {" --force": self.force, " --only-results": self.only_results}
        return f" -o {shlex.quote(str(self.out))}" + "".join(option for option, is_on in options.items() if is_on)
