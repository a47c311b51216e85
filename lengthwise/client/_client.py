"""``Client``: submits jobs and reads their results, for programs that block."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from lengthwise.client._effect import OnRetry
from lengthwise.client._job import Job
from lengthwise.client._resource import EstimateInfo, JobInfo, LimitsInfo, ModelInfo, Priority, State, WorkerInfo
from lengthwise.client._retry_budget import RetryBudget
from lengthwise.client._spool import Item, Spool
from lengthwise.client._transport import BlockingTransport
from lengthwise.formats.file import FileFormat


class Client:
    """The API at ``base_url`` (or LENGTHWISE_URL), with ``api_key`` (or LENGTHWISE_API_KEY). Threads may share it.

    A call is repeated when its connection fails or the answer is 429, 502, 503, 504 or 507: with growing pauses, never
    before Retry-After, and for at most ``retry_seconds`` of pauses. No repetition makes a second job. The errors are
    listed in ``lengthwise.client``. ``http`` is an ``httpx.Client`` of your own, for proxies or certificates.
    ``on_retry`` is called before each pause, with the error and the most seconds that the call still pauses.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        retry_seconds: float = 60,
        http: httpx.Client | None = None,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Raises ``ConfigurationError`` if the URL or the key is not well formed."""
        self._transport = BlockingTransport(Address.of(base_url, api_key), http, on_retry)
        self._retry_seconds = retry_seconds

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
        name: str | None = None,
        tags: Sequence[str] | None = None,
        source_file: str | None = None,
        idempotency_key: str | None = None,
        **params: Any,
    ) -> Job:
        """Submits texts, or mappings with ``text``, ``id`` and ``metadata``. ``params`` are the kind's parameters.

        Lists find the job by the beginning of its ``name``, and by its ``tags``: at most 16 words of at most 64
        letters, digits and ``_ . : / -``.

        ``items`` may be a column of pandas, polars, NumPy or Arrow. Raises ``TypeError``, which says what to give
        instead, for a single text, a whole table, and an item that is missing or no text.

        The items are first written one by one to a compressed temporary file: if the iterable raises, nothing is sent.
        The same ``idempotency_key`` gives the same job, from another process too.
        """
        with Spool() as spool:
            options = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate, name, tags, source_file)
            _body.write_options(spool, options)
            spool.add(items)
            spool.finish()
            return self._submit(spool, _body.NDJSON, None, idempotency_key)

    def submit_file(
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
    ) -> Job:
        """Submits the items of a file: NDJSON, CSV, Parquet or one text a line, as its suffix or ``file_format`` says.

        A path may also end in .gz or .zst. An open file must not be compressed, and needs ``file_format``.
        """
        options = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate, name, tags, source_file)
        with Spool() as spool:
            described = _body.write_file(spool, file, file_format, options, columns or ColumnNames())
            return self._submit(spool, *described, idempotency_key)

    def _submit(self, spool: Spool, content_type: str, options: bytes | None, key: str | None) -> Job:
        call = _call.submit(spool, content_type, options, key, RetryBudget(self._retry_seconds))
        return self._job(self._transport.run(call))

    def estimate(
        self,
        items: Iterable[Item],
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
        """What ``submit`` with the same arguments would take. Nothing is stored.

        ``n_items`` is how many items the whole job has, if ``items`` are a sample of them.
        """
        with Spool() as spool:
            options = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate, name, tags, source_file)
            _body.write_options(spool, options)
            spool.add(items)
            spool.finish()
            return self._estimate(spool, _body.NDJSON, None, {"n_items": n_items})

    def estimate_file(
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
        """As ``estimate``, for a file. With ``sample`` the server reads the first so many items and counts the rest."""
        options = JobOptions(kind, params, model, priority, deadline, webhook, deduplicate, name, tags, source_file)
        with Spool() as spool:
            described = _body.write_file(spool, file, file_format, options, columns or ColumnNames())
            return self._estimate(spool, *described, {"n_items": n_items, "sample": sample})

    def _estimate(
        self, spool: Spool, content_type: str, options: bytes | None, size: Mapping[str, int | None]
    ) -> EstimateInfo:
        call = _call.estimate(spool, content_type, options, size, RetryBudget(self._retry_seconds))
        return self._transport.run(call)

    def job(self, job_id: str) -> Job:
        """Raises ``NotFoundError``."""
        return self._job(self._transport.run(_call.get(job_id, RetryBudget(self._retry_seconds))))

    def jobs(
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
    ) -> Iterator[Job]:
        """The newest first: all of them, or ``limit``. With filters, those that meet all of them.

        ``name`` is the beginning of a job's name, and ``key_id`` the API key that submitted it. ``idempotency_key``
        gives the one job that was submitted under it, and goes with no filter.
        """
        filters: dict[str, str | datetime | None] = {
            "state": state, "kind": kind, "model": model, "tag": tag, "key_id": key_id, "name": name,
            "created_after": created_after, "created_before": created_before, "idempotency_key": idempotency_key,
        }  # fmt: skip
        found = self._transport.iterate(_call.jobs(limit, filters, RetryBudget(self._retry_seconds)))
        return (self._job(info) for info in islice(found, limit))

    def _job(self, info: JobInfo) -> Job:
        return Job(info, self._transport, self._retry_seconds)

    def models(self) -> list[ModelInfo]:
        """The models that a job may use."""
        return self._transport.run(_call.models(RetryBudget(self._retry_seconds)))

    def workers(self) -> list[WorkerInfo]:
        """The processes that work, lost ones last. It needs an admin key of the first tenant."""
        return self._transport.run(_call.workers(RetryBudget(self._retry_seconds)))

    def limits(self) -> LimitsInfo:
        """The limits of the key's tenant, and how much of each is in use."""
        return self._transport.run(_call.limits(RetryBudget(self._retry_seconds)))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
