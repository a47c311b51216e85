"""The logic of reading results: each once, as they come while the job runs, and on from where a download broke."""

import re
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from lengthwise.client import _call
from lengthwise.client._effect import HttpRequest, HttpResponse, OpenEffect, PauseEffect, ReadEffect, Steps, YieldEffect
from lengthwise.client._error import RefusedError, UnreachableError
from lengthwise.client._resource import ENDED
from lengthwise.client._retry_budget import RetryBudget

STATE = "lengthwise-job-state"

#: While a job runs, what is new is asked for after so many seconds: rarer the longer nothing comes, and the more comes
#: that is known already.
_WAIT_SECONDS = (0.25, 3.0)
_SECONDS_PER_KNOWN = 1e-4

_INDEX = re.compile(rb'\{"index":(\d+),')

Line = tuple[int, bytes]


class SeenResults:
    """Which results were given. Behind ``after`` there are gaps while the job runs: a later item may be done first."""

    def __init__(self, after: int) -> None:
        #: Everything up to this index was given.
        self.after = after
        self._beyond: set[int] = set()

    def take(self, lines: list[Line]) -> list[Line]:
        """Those that were not given before; now they are."""
        fresh = [(index, line) for index, line in lines if index > self.after and index not in self._beyond]
        self._beyond.update(index for index, _ in fresh)
        while self.after + 1 in self._beyond:
            self.after += 1
            self._beyond.remove(self.after)
        return fresh


def results(
    job_id: str, after: int, is_followed: bool, patience: RetryBudget, parse: Callable[[bytes], Any]
) -> Steps[str]:
    """Gives ``parse`` of each result's line behind ``after``; of a job that has ended, in the items' order.

    While the job runs, those that are there, and then, if ``is_followed``, others as they come. Returns its state.
    """
    progress = SeenResults(after)
    least, most = _WAIT_SECONDS
    wait = 0.0
    while True:
        query: dict[str, str | int | float] = {"after": progress.after, "wait": wait}
        request = HttpRequest("GET", f"{_call.path(job_id)}/results", query, patience_seconds=wait)
        n_given = n_known = 0
        try:
            answer: HttpResponse = yield OpenEffect(request)
            if answer.status >= 300:
                raise _call.refused(answer)
            rest = b""
            while chunk := (yield ReadEffect()):
                *lines, rest = (rest + chunk).split(b"\n")
                fresh = progress.take([(_index(line), line) for line in lines])
                n_known += len(lines) - len(fresh)
                if fresh:
                    n_given += len(fresh)
                    patience.renew()
                    yield YieldEffect([parse(line) for _, line in fresh])
            if rest:
                raise UnreachableError("the results broke off")
        except (RefusedError, UnreachableError) as error:
            yield PauseEffect(patience.after(error))
            continue
        patience.renew()
        state = answer.headers.get(STATE, "")
        if state in ENDED or not is_followed:
            return state
        wait = min(most, max(least, n_known * _SECONDS_PER_KNOWN, 0 if n_given else 2 * wait))


def _index(line: bytes) -> int:
    found = _INDEX.match(line)
    return int(found[1]) if found else int(from_json(line)["index"])
