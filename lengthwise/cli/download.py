"""Downloads a job's results into OUT.part first, so that a download that broke can be resumed."""

from collections.abc import Callable
from pathlib import Path
from typing import IO

from pydantic_core import from_json, to_json

from lengthwise.cli import output
from lengthwise.client import ConfigurationError, Job


def download(job: Job, out: Path, on_result: Callable[[], None] = lambda: None, *, only_results: bool = False) -> None:
    """Writes ``out``: all results if the job has ended, else those that exist now. Raises ``ConfigurationError``.

    The columns of the job's own table come back with its results, unless ``only_results``.
    """
    file_format = output.check(out)
    if job.info.table is not None and not only_results and file_format in ("csv", "tsv", "parquet"):
        delimiter = output.DELIMITERS.get(file_format, ",")
        output.write_parts(job.table("parquet" if file_format == "parquet" else "csv", delimiter=delimiter), out)
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("a+b") as file:
            after = _begin(file, job)
            for line in job.lines(after, follow=False):
                file.write(line + b"\n")
                on_result()
            file.flush()
            file.seek(0)
            file.readline()
            output.write(file, out)
    except OSError as error:
        raise ConfigurationError(f"{part} cannot be written: {error.strerror}") from None
    part.unlink()


def _begin(file: IO[bytes], job: Job) -> int:
    """Truncates the file to the complete results of this job, and returns the index of the last one, or -1.

    The file's first line names the job. What was downloaded while the job ran is discarded: items before the last one
    may have finished since.
    """
    first_line = to_json({"job": job.id, "has_ended": job.info.has_ended}) + b"\n"
    file.seek(0)
    if file.readline() != first_line or not job.info.has_ended:
        file.seek(0)
        file.truncate()
        file.write(first_line)
        return -1
    after, end = -1, file.tell()
    while (line := file.readline()).endswith(b"\n"):
        after, end = int(from_json(line)["index"]), file.tell()
    file.truncate(end)
    return after
