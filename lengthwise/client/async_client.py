"""``AsyncClient``: ``Client`` for programs with an event loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import httpx

from lengthwise.client import call, sending
from lengthwise.client.address import Address
from lengthwise.client.answer import Model, Priority
from lengthwise.client.async_job import AsyncJob
from lengthwise.client.async_transport import AsyncTransport
from lengthwise.client.call import Head
from lengthwise.client.file import Form
from lengthwise.client.patience import Patience
from lengthwise.client.sending import Columns
from lengthwise.client.spool import Item, Spool


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
            sending.begin(spool, Head(kind, params, model, priority, deadline, webhook, deduplicate))
            if isinstance(items, AsyncIterable):
                async for item in items:
                    spool.add([item])
            else:
                await asyncio.to_thread(spool.add, items)
            spool.finish()
            return await self._sent(spool, sending.NDJSON, None, idempotency_key)

    async def submit_file(
        self,
        file: str | Path | IO[bytes],
        *,
        kind: str,
        form: Form | None = None,
        columns: Columns | None = None,
        model: str | None = None,
        priority: Priority | None = None,
        deadline: datetime | str | None = None,
        webhook: str | Mapping[str, str] | None = None,
        deduplicate: bool | None = None,
        idempotency_key: str | None = None,
        **params: Any,
    ) -> AsyncJob:
        """As ``Client.submit_file``; the file is read in a thread."""
        head = Head(kind, params, model, priority, deadline, webhook, deduplicate)
        with Spool() as spool:
            described = await asyncio.to_thread(sending.file, spool, file, form, head, columns or Columns())
            return await self._sent(spool, *described, idempotency_key)

    async def _sent(self, spool: Spool, content_type: str, head: bytes | None, key: str | None) -> AsyncJob:
        info = await self._transport.run(call.submit(spool, content_type, head, key, Patience(self._patience)))
        return AsyncJob(info, self._transport, self._patience)

    async def job(self, job_id: str) -> AsyncJob:
        info = await self._transport.run(call.look(job_id, Patience(self._patience)))
        return AsyncJob(info, self._transport, self._patience)

    async def jobs(self, limit: int | None = None) -> AsyncGenerator[AsyncJob, None]:
        async for info in self._transport.iterate(call.jobs(limit, Patience(self._patience))):
            yield AsyncJob(info, self._transport, self._patience)

    async def models(self) -> list[Model]:
        return await self._transport.run(call.models(Patience(self._patience)))

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
