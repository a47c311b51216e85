"""Writes the report of a worker that a test makes up."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from lengthwise import database
from lengthwise.ledger import workers
from lengthwise.ledger.workers import ReportedModel, WorkerReport
from lengthwise.states import WorkerRole, WorkerState

_USUAL: dict[str, Any] = {
    "role": WorkerRole.GENERATE,
    "name": "generate-1",
    "host": "node1",
    "pid": 7,
    "device": "cpu",
    "version": "0.1.0",
    "started_seconds": 60.0,
    "stepped_seconds": 1.0,
    "state": WorkerState.IDLE,
    "model": None,
    "pool": None,
    "batch_rows": None,
    "batch_tokens": None,
    "n_items": 3,
    "n_tokens": 30,
    "items_per_second": 1.5,
    "last_error": None,
    "error_seconds": None,
}


def report(models: Sequence[ReportedModel] = (), **values: Any) -> UUID:
    """Writes the report of an idle generation worker, except for these values. Returns its id."""
    made = WorkerReport(**{**_USUAL, "id": uuid4(), "models": models, **values})
    with database.engine().begin() as connection:
        workers.beat(connection, made)
    return made.id


def deliverer(**values: Any) -> UUID:
    """The same of a delivery worker."""
    return report(role=WorkerRole.DELIVER, name="deliver-1", device=None, **values)
