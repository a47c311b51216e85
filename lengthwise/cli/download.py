"""Downloads a job's results into OUT.part first, so that a download that broke can be resumed."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from pydantic_core import from_json, to_json

from lengthwise.cli import output
from lengthwise.client import ConfigurationError, Job

#: As OUT, it stands for stdout; as FILE, for stdin.
STREAM = "-"


def check(out: Path | None, *, force: bool, source: str | None = None) -> None:
    """Checks before anything is sent that ``out`` can be written. ``source`` is the file that is submitted.

    Raises ``ConfigurationError``: for example, if ``out`` is ``source``, by whatever name, or exists and ``force`` is
    not given.
    """
    if out is None or str(out) == STREAM:
        return
    part = _part(out)
    if source is not None and (_is_same(out, source) or _is_same(part, source)):
        raise ConfigurationError(f"{out} is the file that is submitted; name another one for the results")
    output.check(out, force=force)
    if part.exists() and not _is_download(part):
        raise ConfigurationError(f"{part} is needed for the download, and holds something else; move it away")


def download(
    job: Job, out: Path, *, force: bool, only_results: bool = False, on_result: Callable[[], None] = lambda: None
) -> None:
    """Writes ``out``: all results if the job has ended, else those that exist now. Raises ``ConfigurationError``.

    The columns of the job's own table come back with its results, unless ``only_results``.
    """
    if str(out) == STREAM:
        for line in job.lines(follow=False):
            sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
        return
    file_format = output.check(out, force=force)
    if job.info.table is not None and not only_results and file_format in ("csv", "tsv", "parquet"):
        delimiter = output.DELIMITERS.get(file_format, ",")
        parts = job.table("parquet" if file_format == "parquet" else "csv", delimiter=delimiter)
        output.write_parts(parts, out, force=force)
        return
    check(out, force=force)
    part = _part(out)
    try:
        with part.open("a+b") as file:
            after = _begin(file, job)
            for line in job.lines(after, follow=False):
                file.write(line + b"\n")
                on_result()
            file.flush()
            file.seek(0)
            file.readline()
            output.write(file, out, force=force)
    except OSError as error:
        raise ConfigurationError(f"{part} cannot be written: {error.strerror}") from None
    part.unlink()


def _part(out: Path) -> Path:
    return out.with_name(f"{out.name}.part")


def _is_same(path: Path, source: str) -> bool:
    """Whether both are one file, also by another path, a symbolic link or a hard link."""
    try:
        return os.path.samestat(path.stat(), os.fstat(0) if source == STREAM else Path(source).stat())
    except OSError:
        return False


def _is_download(part: Path) -> bool:
    with part.open("rb") as file:
        return _names_a_job(file.readline())


def _names_a_job(line: bytes) -> bool:
    """Whether this is the first line of a download, which names its job. An empty file is the start of one."""
    try:
        return not line or from_json(line).keys() == {"job", "has_ended"}
    except (ValueError, AttributeError):
        return False


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
