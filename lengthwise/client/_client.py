"""``Client``: jobs as one thinks of them, for programs that block."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import httpx

from lengthwise.client import _body, _call
from lengthwise.client._address import Address
from lengthwise.client._body import ColumnNames
from lengthwise.client._call import JobOptions
from lengthwise.client._job import Job
from lengthwise.client._resource import ModelInfo, Priority
from lengthwise.client._retry_budget import RetryBudget
from lengthwise.client._spool import Item, Spool
from lengthwise.client._transport import BlockingTransport
from lengthwise.formats.file import FileFormat


class Client:
    """The API at ``base_url`` (or LENGTHWISE_URL), under ``api_key`` (or LENGTHWISE_API_KEY). Threads may share one.

    A call whose connection is lost, or that is answered 429, 502, 503, 504 or 507, is made again, later each time and
    not before Retry-After, for up to ``patience`` seconds of waiting; nothing is thereby done twice. What a call then
    raises is in ``lengthwise.client._error``. ``http`` is an ``httpx.Client`` of your own, for proxies or certificates.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        patience: float = 60,
        http: httpx.Client | None = None,
    ) -> None:
        self._transport = BlockingTransport(Address.of(base_url, api_key), http)
        self._patience = patience

    def submit(
        self,
        items: Iterable[Item],
        *,
        kind: str,
        model: str | None = None,
        priority: Priority | None = None,
        deadline: datetime | str | None = None,
        webhook: str | Mapping[str, str] | None = None,
        deduplicate: bool | None = None,
        idempotency_key: str | None = None,
        **params: Any,
    ) -> Job:
        """A job of these texts, or of mappings with ``text``, ``id``, ``metadata``; ``params`` are the kind's own.

        The items are taken one by one into a compressed temporary file; nothing is sent if they raise. A key of
        your own makes one job of this call and of the same one in another process.
        """
        with Spool() as spool:
            _body.begin(spool, JobOptions(kind, params, model, priority, deadline, webhook, deduplicate))
            spool.add(items)
            spool.finish()
            return self._sent(spool, _body.NDJSON, None, idempotency_key)

    def submit_file(
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
    ) -> Job:
        """A job of a file's items: NDJSON, CSV, Parquet or a text a line, as its suffix or ``form`` says.

        A path may end in .gz or .zst besides; an open file is not compressed, and has its ``form`` named.
        """
        head = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate)
        with Spool() as spool:
            described = _body.file(spool, file, form, head, columns or ColumnNames())
            return self._sent(spool, *described, idempotency_key)

    def _sent(self, spool: Spool, content_type: str, head: bytes | None, key: str | None) -> Job:
        info = self._transport.run(_call.submit(spool, content_type, head, key, RetryBudget(self._patience)))
        return Job(info, self._transport, self._patience)

    def job(self, job_id: str) -> Job:
        info = self._transport.run(_call.look(job_id, RetryBudget(self._patience)))
        return Job(info, self._transport, self._patience)

    def jobs(self, limit: int | None = None) -> Iterator[Job]:
        """The newest first: all of them, or ``limit``."""
        found = self._transport.iterate(_call.jobs(limit, RetryBudget(self._patience)))
        return (Job(info, self._transport, self._patience) for info in islice(found, limit))

    def models(self) -> list[ModelInfo]:
        return self._transport.run(_call.models(RetryBudget(self._patience)))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
