"""``AsyncClient``: ``Client`` for programs with an event loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
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
from lengthwise.client._resource import ModelInfo, Priority
from lengthwise.client._retry_budget import RetryBudget
from lengthwise.client._spool import Item, Spool
from lengthwise.formats.file import FileFormat


class AsyncClient:
    """As ``Client``, awaited. Tasks of one event loop may share one."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        patience: float = 60,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._transport = AsyncTransport(Address.of(base_url, api_key), http)
        self._patience = patience

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
        idempotency_key: str | None = None,
        **params: Any,
    ) -> AsyncJob:
        """As ``Client.submit``; items of an ordinary iterable are taken in a thread, so that the loop goes on."""
        with Spool() as spool:
            _body.begin(spool, JobOptions(kind, params, model, priority, deadline, webhook, deduplicate))
            if isinstance(items, AsyncIterable):
                async for item in items:
                    spool.add([item])
            else:
                await asyncio.to_thread(spool.add, items)
            spool.finish()
            return await self._sent(spool, _body.NDJSON, None, idempotency_key)

    async def submit_file(
        self,
        file: str | Path | IO[bytes],
        *,
        kind: str,
        form: FileFormat | None = None,
        columns: ColumnNames | None = None,
        model: str | None = None,
        priority: Priority | None = None,
        deadline: datetime | str | None = None,
        webhook: str | Mapping[str, str] | None = None,
        deduplicate: bool | None = None,
        idempotency_key: str | None = None,
        **params: Any,
    ) -> AsyncJob:
        """As ``Client.submit_file``; the file is read in a thread."""
        head = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate)
        with Spool() as spool:
            described = await asyncio.to_thread(_body.file, spool, file, form, head, columns or ColumnNames())
            return await self._sent(spool, *described, idempotency_key)

    async def _sent(self, spool: Spool, content_type: str, head: bytes | None, key: str | None) -> AsyncJob:
        info = await self._transport.run(_call.submit(spool, content_type, head, key, RetryBudget(self._patience)))
        return AsyncJob(info, self._transport, self._patience)

    async def job(self, job_id: str) -> AsyncJob:
        info = await self._transport.run(_call.look(job_id, RetryBudget(self._patience)))
        return AsyncJob(info, self._transport, self._patience)

    async def jobs(self, limit: int | None = None) -> AsyncGenerator[AsyncJob, None]:
        async for info in self._transport.iterate(_call.jobs(limit, RetryBudget(self._patience))):
            yield AsyncJob(info, self._transport, self._patience)

    async def models(self) -> list[ModelInfo]:
        return await self._transport.run(_call.models(RetryBudget(self._patience)))

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
