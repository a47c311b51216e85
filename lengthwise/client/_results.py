"""The logic of reading results: each once, also while the job runs, continuing where a download broke. No I/O."""

import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic_core import from_json

from lengthwise.client import _call
from lengthwise.client._effect import HttpRequest, HttpResponse, OpenEffect, ReadEffect, Steps, YieldEffect
from lengthwise.client._error import RefusedError, UnreachableError
from lengthwise.client._resource import ENDED
from lengthwise.client._retry_budget import RetryBudget

STATE_HEADER = "lengthwise-job-state"

#: The shortest and the longest wait between two requests to a running job. The wait grows while nothing new comes, and
#: with the number of known results that each request downloads again.
_WAIT_SECONDS = (0.25, 3.0)
_SECONDS_PER_KNOWN = 1e-4

_INDEX = re.compile(rb'\{"index":(\d+),')

Line = tuple[int, bytes]


class SeenResults:
    """The indexes that were given to the caller. A running job leaves gaps: later items may finish first."""

    def __init__(self, after: int) -> None:
        #: Every index up to this one was given.
        self.after = after
        self._beyond: set[int] = set()

    def take(self, lines: list[Line]) -> list[Line]:
        """The lines that are new, which are then no longer new."""
        fresh = [(index, line) for index, line in lines if index > self.after and index not in self._beyond]
        self._beyond.update(index for index, _ in fresh)
        while self.after + 1 in self._beyond:
            self.after += 1
            self._beyond.remove(self.after)
        return fresh


def results(job_id: str, after: int, follow: bool, budget: RetryBudget, parse: Callable[[bytes], Any]) -> Steps[str]:
    """Yields ``parse(line)`` for each result with an index above ``after``, in item order if the job has ended.

    For a running job it yields the results that exist and, with ``follow``, the others as they come. Returns the job's
    last known state.
    """
    seen = SeenResults(after)
    shortest, longest = _WAIT_SECONDS
    wait = 0.0
    while True:
        query: dict[str, str | int | float] = {"after": seen.after, "wait": wait}
        request = HttpRequest("GET", f"{_call.job_path(job_id)}/results", query, wait_seconds=wait)
        n_given = n_known = 0
        try:
            answer: HttpResponse = yield OpenEffect(request)
            if answer.status >= 300:
                raise _call.to_error(answer)
            rest = b""
            while chunk := (yield ReadEffect()):
                *lines, rest = (rest + chunk).split(b"\n")
                fresh = seen.take([(_index(line), line) for line in lines])
                n_known += len(lines) - len(fresh)
                if fresh:
                    n_given += len(fresh)
                    budget.renew()
                    yield YieldEffect([parse(line) for _, line in fresh])
            if rest:
                raise UnreachableError("the results broke off in the middle of a line")
        except (RefusedError, UnreachableError) as error:
            yield budget.pause_after(error)
            continue
        budget.renew()
        state = answer.headers.get(STATE_HEADER, "")
        if state in ENDED or not follow:
            return state
        wait = min(longest, max(shortest, n_known * _SECONDS_PER_KNOWN, 0 if n_given else 2 * wait))


def table(
    job_id: str, file_format: Literal["csv", "parquet"], delimiter: str, only_results: bool, budget: RetryBudget
) -> Steps[None]:
    """Yields the parts of the table of results. Only its beginning is tried again. Raises ``UnreachableError``."""
    query: dict[str, str | int | float] = {"format": file_format, "columns": "results" if only_results else "all"}
    request = HttpRequest("GET", f"{_call.job_path(job_id)}/results", query | {"delimiter": delimiter})
    while True:
        try:
            answer: HttpResponse = yield OpenEffect(request)
            if answer.status >= 300:
                raise _call.to_error(answer)
            break
        except (RefusedError, UnreachableError) as error:
            yield budget.pause_after(error)
    while chunk := (yield ReadEffect()):
        yield YieldEffect([chunk])


def _index(line: bytes) -> int:
    found = _INDEX.match(line)
    return int(found[1]) if found else int(from_json(line)["index"])
