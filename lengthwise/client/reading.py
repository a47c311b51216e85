"""The logic of reading results: each once, as they come while the job runs, and on from where a download broke."""

import re
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from lengthwise.client import call
from lengthwise.client.answer import ENDED
from lengthwise.client.effect import Answer, Give, Open, Pause, Read, Request, Steps
from lengthwise.client.error import Refused, Unreachable
from lengthwise.client.patience import Patience

STATE = "lengthwise-job-state"

#: While a job runs, what is new is asked for after so many seconds: rarer the longer nothing comes, and the more comes
#: that is known already.
_WAIT_SECONDS = (0.25, 3.0)
_SECONDS_PER_KNOWN = 1e-4

_INDEX = re.compile(rb'\{"index":(\d+),')

Line = tuple[int, bytes]


class Progress:
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
    job_id: str, after: int, is_followed: bool, patience: Patience, parse: Callable[[bytes], Any]
) -> Steps[str]:
    """Gives ``parse`` of each result's line behind ``after``; of a job that has ended, in the items' order.

    While the job runs, those that are there, and then, if ``is_followed``, others as they come. Returns its state.
    """
    progress = Progress(after)
    least, most = _WAIT_SECONDS
    wait = 0.0
    while True:
        query: dict[str, str | int | float] = {"after": progress.after, "wait": wait}
        request = Request("GET", f"{call.path(job_id)}/results", query, patience_seconds=wait)
        n_given = n_known = 0
        try:
            answer: Answer = yield Open(request)
            if answer.status >= 300:
                raise call.refused(answer)
            rest = b""
            while chunk := (yield Read()):
                *lines, rest = (rest + chunk).split(b"\n")
                fresh = progress.take([(_index(line), line) for line in lines])
                n_known += len(lines) - len(fresh)
                if fresh:
                    n_given += len(fresh)
                    patience.renew()
                    yield Give([parse(line) for _, line in fresh])
            if rest:
                raise Unreachable("the results broke off")
        except (Refused, Unreachable) as error:
            yield Pause(patience.after(error))
            continue
        patience.renew()
        state = answer.headers.get(STATE, "")
        if state in ENDED or not is_followed:
            return state
        wait = min(most, max(least, n_known * _SECONDS_PER_KNOWN, 0 if n_given else 2 * wait))


def _index(line: bytes) -> int:
    found = _INDEX.match(line)
    return int(found[1]) if found else int(from_json(line)["index"])
