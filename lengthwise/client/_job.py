"""``Job``: one job at the API, for programs that block."""

from collections.abc import Iterator
from typing import Any

from lengthwise.client import _call, _results
from lengthwise.client._resource import ItemCounts, JobInfo, Result, State
from lengthwise.client._retry_budget import RetryBudget
from lengthwise.client._transport import BlockingTransport


class BaseJob:
    """What is known of a job since it was last looked at: all of it in ``info``."""

    def __init__(self, info: JobInfo) -> None:
        self.info = info

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def state(self) -> State:
        return self.info.state

    @property
    def counts(self) -> ItemCounts:
        return self.info.counts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id}, {self.state}, {self.counts.pending} of {self.counts.total} pending)"


class Job(BaseJob):
    """Its calls raise what ``lengthwise.client._error`` lists."""

    def __init__(self, info: JobInfo, transport: BlockingTransport, patience: float) -> None:
        super().__init__(info)
        self._transport = transport
        self._patience = patience

    def refresh(self, wait: float = 0) -> "Job":
        """Looks again: at once, or once it has ended or ``wait`` seconds (60 at most) have passed."""
        self.info = self._transport.run(_call.look(self.id, RetryBudget(self._patience), wait))
        return self

    def wait(self, timeout: float | None = None) -> "Job":
        """Until it has ended. Raises ``Incomplete`` where that takes more than ``timeout`` seconds."""
        self.info = self._transport.run(_call.wait(self.id, timeout, RetryBudget(self._patience)))
        return self

    def results(self, after: int = -1, *, follow: bool = True) -> Iterator[Result]:
        """Each result once: of an ended job in the items' order, and of one that runs as they come, until it has ended.

        A download that breaks goes on where it broke. ``after`` begins behind an index; without ``follow`` a job that
        runs gives what is there.
        """
        return self._transport.iterate(self._reading(after, follow, Result.model_validate_json))

    def lines(self, after: int = -1, *, follow: bool = True) -> Iterator[bytes]:
        """The same as the lines of JSON that the API sends, without their ends."""
        return self._transport.iterate(self._reading(after, follow, bytes))

    def _reading(self, after: int, follow: bool, parse: Any) -> Any:
        return _results.results(self.id, after, follow, RetryBudget(self._patience), parse)

    def cancel(self) -> "Job":
        """Drops what has not run; what has stays readable."""
        self.info = self._transport.run(_call.cancel(self.id, RetryBudget(self._patience)))
        return self

    def retry(self, idempotency_key: str | None = None) -> "Job":
        """A new job of the items that failed."""
        info = self._transport.run(_call.retry(self.id, idempotency_key, RetryBudget(self._patience)))
        return Job(info, self._transport, self._patience)

    def delete(self) -> None:
        """The job, its texts and its results, for good."""
        self._transport.run(_call.delete(self.id, RetryBudget(self._patience)))
