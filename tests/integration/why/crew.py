"""Rows of workers, as they describe themselves, and why jobs are not done."""

import json
from typing import Any
from uuid import UUID, uuid4

from lengthwise import database
from lengthwise.ledger import job_figures, why
from lengthwise.ledger.why import Why
from tests.ledger import sql

_SEEN = """
INSERT INTO workers (id, role, name, host, pid, version, started_at, seen_at, state, n_items, n_tokens,
                     items_per_second, models)
VALUES (:id, :role, 'one', 'host', 1, '1', now() - interval '1 hour', now() - make_interval(secs => :ago), :state,
        0, 0, 0, cast(:models AS jsonb))
"""


def seen(role: str = "generate", state: str = "idle", *, ago: float = 0, models: Any = ()) -> UUID:
    """A worker that described itself so many seconds ago. Returns its id."""
    worker = uuid4()
    sql(_SEEN, id=worker, role=role, state=state, ago=ago, models=json.dumps(list(models)))
    return worker


def loaded(name: str = "echo", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": "loaded", **more}


def failed(reason: str, name: str = "echo", at: str = "2031-01-31T12:00:00+00:00") -> dict[str, Any]:
    return {"name": name, "state": "failed", "reason": reason, "failed_at": at}


def reason_of(job: UUID) -> Why:
    with database.engine().begin() as connection:
        return why.read(connection, job_figures.read(connection, job), presence_seconds=5)
