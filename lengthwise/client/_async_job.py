"""``AsyncJob``: one job at the API, for programs with an event loop."""

from collections.abc import AsyncGenerator
from typing import Any, Literal

from lengthwise.client import _call, _results
from lengthwise.client._async_transport import AsyncTransport
from lengthwise.client._job import BaseJob
from lengthwise.client._resource import JobInfo, Result
from lengthwise.client._retry_budget import RetryBudget


class AsyncJob(BaseJob):
    """As ``Job``, with methods to await."""

    def __init__(self, info: JobInfo, transport: AsyncTransport, retry_seconds: float) -> None:
        super().__init__(info)
        self._transport = transport
        self._retry_seconds = retry_seconds

    async def refresh(self, wait: float = 0) -> "AsyncJob":
        self.info = await self._transport.run(_call.get(self.id, RetryBudget(self._retry_seconds), wait))
        return self

    async def wait(self, timeout: float | None = None) -> "AsyncJob":
        self.info = await self._transport.run(_call.wait(self.id, timeout, RetryBudget(self._retry_seconds)))
        return self

    def results(self, after: int = -1, *, follow: bool = True) -> AsyncGenerator[Result, None]:
        """As ``Job.results``, for ``async for``. To leave the loop early, use ``contextlib.aclosing``."""
        return self._transport.iterate(self._results(after, follow, Result.model_validate_json))

    def lines(self, after: int = -1, *, follow: bool = True) -> AsyncGenerator[bytes, None]:
        return self._transport.iterate(self._results(after, follow, bytes))

    def table(
        self, file_format: Literal["csv", "parquet"], *, delimiter: str = ",", only_results: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """As ``Job.table``, for ``async for``."""
        budget = RetryBudget(self._retry_seconds)
        return self._transport.iterate(_results.table(self.id, file_format, delimiter, only_results, budget))

    def _results(self, after: int, follow: bool, parse: Any) -> Any:
        return _results.results(self.id, after, follow, RetryBudget(self._retry_seconds), parse)

    async def cancel(self) -> "AsyncJob":
        self.info = await self._transport.run(_call.cancel(self.id, RetryBudget(self._retry_seconds)))
        return self

    async def retry(self, idempotency_key: str | None = None) -> "AsyncJob":
        info = await self._transport.run(_call.retry(self.id, idempotency_key, RetryBudget(self._retry_seconds)))
        return AsyncJob(info, self._transport, self._retry_seconds)

    async def delete(self) -> None:
        await self._transport.run(_call.delete(self.id, RetryBudget(self._retry_seconds)))
