"""``AsyncClient``: ``Client`` for programs with an event loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import httpx

from lengthwise.client import _body, _call
from lengthwise.client._address import Address
from lengthwise.client._async_job import AsyncJob
from lengthwise.client._async_transport import AsyncTransport
from lengthwise.client._body import ColumnNames
from lengthwise.client._call import JobOptions
from lengthwise.client._effect import OnRetry
from lengthwise.client._resource import EstimateInfo, JobInfo, LimitsInfo, ModelInfo, Priority, State, WorkerInfo
from lengthwise.client._retry_budget import RetryBudget
from lengthwise.client._spool import Item, Spool
from lengthwise.formats.file import FileFormat


class AsyncClient:
    """As ``Client``, with methods to await. Tasks of one event loop may share it."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        retry_seconds: float = 60,
        http: httpx.AsyncClient | None = None,
        on_retry: OnRetry | None = None,
    ) -> None:
        self._transport = AsyncTransport(Address.of(base_url, api_key), http, on_retry)
        self._retry_seconds = retry_seconds

    async def submit(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        kind: str,
        model: str | None = None,
        priority: Priority | None = None,
        deadline: datetime | str | None = None,
        webhook: str | Mapping[str, str] | None = None,
        deduplicate: bool | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        source_file: str | None = None,
        idempotency_key: str | None = None,
        **params: Any,
    ) -> AsyncJob:
        """As ``Client.submit``. A thread reads an ordinary iterable, so that the event loop is not blocked."""
        with Spool() as spool:
            options = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate, name, tags, source_file)
            _body.write_options(spool, options)
            await _add(spool, items)
            spool.finish()
            return await self._submit(spool, _body.NDJSON, None, idempotency_key)

    async def submit_file(
        self,
        file: str | Path | IO[bytes],
        *,
        kind: str,
        file_format: FileFormat | None = None,
        columns: ColumnNames | None = None,
        model: str | None = None,
        priority: Priority | None = None,
        deadline: datetime | str | None = None,
        webhook: str | Mapping[str, str] | None = None,
        deduplicate: bool | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        source_file: str | None = None,
        idempotency_key: str | None = None,
        **params: Any,
    ) -> AsyncJob:
        """As ``Client.submit_file``. A thread reads the file."""
        options = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate, name, tags, source_file)
        with Spool() as spool:
            described = await asyncio.to_thread(
                _body.write_file, spool, file, file_format, options, columns or ColumnNames()
            )
            return await self._submit(spool, *described, idempotency_key)

    async def _submit(self, spool: Spool, content_type: str, options: bytes | None, key: str | None) -> AsyncJob:
        call = _call.submit(spool, content_type, options, key, RetryBudget(self._retry_seconds))
        return self._job(await self._transport.run(call))

    async def estimate(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        kind: str,
        n_items: int | None = None,
        model: str | None = None,
        priority: Priority | None = None,
        deadline: datetime | str | None = None,
        webhook: str | Mapping[str, str] | None = None,
        deduplicate: bool | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        source_file: str | None = None,
        **params: Any,
    ) -> EstimateInfo:
        """As ``Client.estimate``."""
        with Spool() as spool:
            options = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate, name, tags, source_file)
            _body.write_options(spool, options)
            await _add(spool, items)
            spool.finish()
            return await self._estimate(spool, _body.NDJSON, None, {"n_items": n_items})

    async def estimate_file(
        self,
        file: str | Path | IO[bytes],
        *,
        kind: str,
        file_format: FileFormat | None = None,
        columns: ColumnNames | None = None,
        n_items: int | None = None,
        sample: int | None = None,
        model: str | None = None,
        priority: Priority | None = None,
        deadline: datetime | str | None = None,
        webhook: str | Mapping[str, str] | None = None,
        deduplicate: bool | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        source_file: str | None = None,
        **params: Any,
    ) -> EstimateInfo:
        """As ``Client.estimate_file``."""
        options = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate, name, tags, source_file)
        with Spool() as spool:
            described = await asyncio.to_thread(
                _body.write_file, spool, file, file_format, options, columns or ColumnNames()
            )
            return await self._estimate(spool, *described, {"n_items": n_items, "sample": sample})

    async def _estimate(
        self, spool: Spool, content_type: str, options: bytes | None, size: Mapping[str, int | None]
    ) -> EstimateInfo:
        call = _call.estimate(spool, content_type, options, size, RetryBudget(self._retry_seconds))
        return await self._transport.run(call)

    async def job(self, job_id: str) -> AsyncJob:
        """Raises ``NotFoundError``."""
        return self._job(await self._transport.run(_call.get(job_id, RetryBudget(self._retry_seconds))))

    async def jobs(
        self,
        limit: int | None = None,
        *,
        state: State | None = None,
        kind: str | None = None,
        model: str | None = None,
        tag: str | None = None,
        key_id: str | None = None,
        name: str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncGenerator[AsyncJob, None]:
        """As ``Client.jobs``."""
        filters: dict[str, str | datetime | None] = {
            "state": state, "kind": kind, "model": model, "tag": tag, "key_id": key_id, "name": name,
            "created_after": created_after, "created_before": created_before, "idempotency_key": idempotency_key,
        }  # fmt: skip
        found = self._transport.iterate(_call.jobs(limit, filters, RetryBudget(self._retry_seconds)))
        async for info in found:
            yield self._job(info)

    def _job(self, info: JobInfo) -> AsyncJob:
        return AsyncJob(info, self._transport, self._retry_seconds)

    async def models(self) -> list[ModelInfo]:
        """The models that a job may use."""
        return await self._transport.run(_call.models(RetryBudget(self._retry_seconds)))

    async def workers(self) -> list[WorkerInfo]:
        """As ``Client.workers``."""
        return await self._transport.run(_call.workers(RetryBudget(self._retry_seconds)))

    async def limits(self) -> LimitsInfo:
        """As ``Client.limits``."""
        return await self._transport.run(_call.limits(RetryBudget(self._retry_seconds)))

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _add(spool: Spool, items: Iterable[Item] | AsyncIterable[Item]) -> None:
    """A thread reads an ordinary iterable."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            spool.add([item])
    else:
        await asyncio.to_thread(spool.add, items)
