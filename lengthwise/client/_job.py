"""``Job``: one job at the API, for programs that block."""

from collections.abc import Iterator
from typing import Any, Literal

from lengthwise.client import _call, _results
from lengthwise.client._resource import ItemCounts, JobInfo, Result, State
from lengthwise.client._retry_budget import RetryBudget
from lengthwise.client._transport import BlockingTransport


class BaseJob:
    """What the API last said about a job, all of it in ``info``."""

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

    @property
    def warnings(self) -> dict[str, int]:
        return self.info.warnings

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id}, {self.state}, {self.counts.pending} of {self.counts.total} pending)"


class Job(BaseJob):
    """One job. ``refresh``, ``wait`` and ``cancel`` update ``info``. The errors are listed in ``lengthwise.client``."""

    def __init__(self, info: JobInfo, transport: BlockingTransport, retry_seconds: float) -> None:
        super().__init__(info)
        self._transport = transport
        self._retry_seconds = retry_seconds

    def refresh(self, wait: float = 0) -> "Job":
        """Asks the API again. With ``wait``, it answers when the job ends, or after that many seconds (60 at most)."""
        self.info = self._transport.run(_call.get(self.id, RetryBudget(self._retry_seconds), wait))
        return self

    def wait(self, timeout: float | None = None) -> "Job":
        """Waits until the job has ended. Raises ``WaitTimeoutError`` after ``timeout`` seconds."""
        self.info = self._transport.run(_call.wait(self.id, timeout, RetryBudget(self._retry_seconds)))
        return self

    def results(self, after: int = -1, *, follow: bool = True) -> Iterator[Result]:
        """Each result once: in item order if the job has ended, else as they come, until it has ended.

        A download that breaks continues where it broke. Only items with an index above ``after`` are read. Without
        ``follow``, a running job gives the results that exist now.
        """
        return self._transport.iterate(self._results(after, follow, Result.model_validate_json))

    def lines(self, after: int = -1, *, follow: bool = True) -> Iterator[bytes]:
        """As ``results``, but each as the line of JSON that the API sent, without its newline."""
        return self._transport.iterate(self._results(after, follow, bytes))

    def table(
        self, file_format: Literal["csv", "parquet"], *, delimiter: str = ",", only_results: bool = False
    ) -> Iterator[bytes]:
        """The table of the results, in parts: the columns of the job's own table, if it had one, and the new ones.

        ``delimiter`` is of CSV. A download that breaks raises ``UnreachableError``, and begins anew.
        """
        budget = RetryBudget(self._retry_seconds)
        return self._transport.iterate(_results.table(self.id, file_format, delimiter, only_results, budget))

    def _results(self, after: int, follow: bool, parse: Any) -> Any:
        return _results.results(self.id, after, follow, RetryBudget(self._retry_seconds), parse)

    def cancel(self) -> "Job":
        """Drops the items that have not run. Results that exist stay readable."""
        self.info = self._transport.run(_call.cancel(self.id, RetryBudget(self._retry_seconds)))
        return self

    def retry(self, idempotency_key: str | None = None) -> "Job":
        """Submits the failed items again, as a new job."""
        info = self._transport.run(_call.retry(self.id, idempotency_key, RetryBudget(self._retry_seconds)))
        return Job(info, self._transport, self._retry_seconds)

    def delete(self) -> None:
        """Deletes the job with its texts and results, for good."""
        self._transport.run(_call.delete(self.id, RetryBudget(self._retry_seconds)))
