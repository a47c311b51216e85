"""Follows a job until it has ended, with a progress bar on a terminal and silently elsewhere."""

from collections.abc import Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from lengthwise.cli import connection
from lengthwise.client import Job

#: How long one request waits for the job's end: short with a progress bar, long without.
_SECONDS = 0.5
_QUIET_SECONDS = 30.0


def until_ended(job: Job) -> None:
    """Returns when the job has ended. ``job`` is then up to date."""
    if not connection.is_interactive():
        while not job.info.has_ended:
            job.refresh(wait=_QUIET_SECONDS)
        return
    columns = (TextColumn("{task.description:>10}"), BarColumn(40), MofNCompleteColumn(), TaskProgressColumn())
    rate = (TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, *rate, console=connection.console(err=True), transient=False) as progress:
        bar = progress.add_task(job.info.kind, total=job.counts.total, rate="")
        while True:
            done = job.counts.total - job.counts.pending
            progress.update(bar, completed=done, rate=f"{job.info.items_per_second:.0f} items/s")
            if job.info.has_ended:
                return
            job.refresh(wait=_SECONDS)


def summary(job: Job) -> str:
    """How the job went, in one line for people."""
    counts = job.counts
    parts = [f"{counts.succeeded} of {counts.total} succeeded"]
    parts += [
        f"{number} {name}"
        for name, number in (("failed", counts.failed), ("cancelled", counts.cancelled), ("expired", counts.expired))
        if number
    ]
    return f"job {job.id} {job.state}: {', '.join(parts)}"


def warnings(job: Job) -> str:
    """The items that have warnings, by code, the most frequent first; empty if there are none."""
    return ", ".join(f"{number} {code}" for code, number in _by_frequency(job))


def warning_lines(job: Job) -> Iterator[str]:
    """A line for each warning, with what it means and what to do."""
    if job.warnings:
        from lengthwise.kinds.result_line import WARNINGS  # loads the kinds, which most commands do not need

        for code, number in _by_frequency(job):
            yield f"warning: {number} {code}" + (f": {WARNINGS[code]}" if code in WARNINGS else "")


def _by_frequency(job: Job) -> list[tuple[str, int]]:
    return sorted(job.warnings.items(), key=lambda counted: (-counted[1], counted[0]))


def exit_code(job: Job, *, fail_on_warnings: bool = False) -> int:
    """0 if no item failed, was cancelled or expired, nor, with ``fail_on_warnings``, has a warning."""
    counts = job.counts
    if counts.failed + counts.cancelled + counts.expired:
        return connection.ITEMS_FAILED
    if fail_on_warnings and job.warnings:
        connection.say(
            f"lengthwise: there are results with warnings ({warnings(job)}), and --fail-on-warnings is given"
        )
        return connection.WARNED
    return 0
