"""Downloads a job's results through OUT.part, which a download that broke is taken up from."""

from collections.abc import Callable
from pathlib import Path
from typing import IO

from pydantic_core import from_json, to_json

from lengthwise.cli import output
from lengthwise.client import Job
from lengthwise.errors import ConfigurationError


def download(job: Job, out: Path, on_result: Callable[[], None] = lambda: None) -> None:
    """Writes ``out``: all results of a job that has ended, else those that are there. Raises ``ConfigurationError``."""
    output.check(out)
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
    """Leaves in the file what of this job's results is whole; the index of the last. Its first line says whose it is.

    Of a job that ran when they were downloaded they are of no use: earlier ones may have come since.
    """
    head = to_json({"job": job.id, "has_ended": job.info.has_ended}) + b"\n"
    file.seek(0)
    if file.readline() != head or not job.info.has_ended:
        file.seek(0)
        file.truncate()
        file.write(head)
        return -1
    after, end = -1, file.tell()
    while (line := file.readline()).endswith(b"\n"):
        after, end = int(from_json(line)["index"]), file.tell()
    file.truncate(end)
    return after
