"""The baselines' API: takes a job, sends one message an item, tells how far it is, gives the results."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from queue import Empty, SimpleQueue
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.concurrency import run_in_threadpool

from benchmarks.queue.baseline import configuration, store
from lengthwise.models import tokenizer

#: Lines that are validated and counted at a time.
_STRIDE = 1000

_celery = configuration.celery_app()
_connections: SimpleQueue[store.Connection] = SimpleQueue()
app = FastAPI()


class Head(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: str


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str | None = None
    text: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


@contextmanager
def _connection() -> Iterator[store.Connection]:
    """One that was used before, or a new one."""
    try:
        connection = _connections.get_nowait()
    except Empty:
        connection = store.connect(configuration.database_url())
    try:
        yield connection
    finally:
        _connections.put(connection)


@app.get("/readyz")
def ready() -> dict[str, str]:
    with _connection() as connection:
        store.create(connection)
    tokenizer.load(configuration.model())
    return {"status": "ready"}


@app.post("/v1/jobs", status_code=202)
async def submit(request: Request) -> dict[str, Any]:
    return await run_in_threadpool(_submit, await request.body())


def _submit(body: bytes) -> dict[str, Any]:
    lines = iter(body.splitlines())
    Head.model_validate_json(next(lines, b""))
    job_id = uuid4()
    with _connection() as connection:
        count = store.insert_job(connection, job_id, _counted(lines))
    _send(job_id, count)
    return {"id": str(job_id)}


def _counted(lines: Iterator[bytes]) -> Iterator[tuple[int, str]]:
    words = tokenizer.load(configuration.model())
    while stride := [Item.model_validate_json(line).text for line in islice(lines, _STRIDE)]:
        yield from zip(map(len, words.encode(stride)), stride, strict=True)


def _send(job_id: UUID, count: int) -> None:
    name, job = configuration.task_name(), str(job_id)
    with _celery.producer_or_acquire() as producer:
        for index in range(count):
            _celery.send_task(name, args=(job, index), producer=producer, ignore_result=True)


@app.get("/v1/jobs/{job_id}")
def job(job_id: UUID) -> dict[str, Any]:
    with _connection() as connection:
        found = store.figures(connection, job_id)
    if found is None:
        raise HTTPException(404)
    counts = {"total": found.n_items, "pending": found.n_items - found.n_done}
    return {"id": str(job_id), "counts": counts, "finished_at": found.finished_at}


@app.get("/v1/jobs/{job_id}/results")
def results(job_id: UUID) -> StreamingResponse:
    def pages() -> Iterator[bytes]:
        with _connection() as connection:
            yield from store.results(connection, job_id)

    source = pages()
    return StreamingResponse(chain([next(source, b"")], source), media_type="application/x-ndjson")
