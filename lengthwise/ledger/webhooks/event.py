"""Events and the deliveries they become: written in the transaction that makes them true.

A delivery holds no secret: what signs is read from the job or the endpoint at each attempt, so that a secret that was
rotated is used by deliveries of before. Knows nothing of how a body is signed or sent.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from pydantic_core import to_json
from sqlalchemy import Connection

from lengthwise import bells, database
from lengthwise.kinds import openai
from lengthwise.ledger import read
from lengthwise.ledger.read import JobFigures
from lengthwise.states import DeliveryState
from lengthwise.webhooks.subscription import includes


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where an event goes: a job's own webhook, or an endpoint. One that is disabled is kept what it misses."""

    job_id: UUID | None
    endpoint_id: UUID | None
    #: Deliveries of one lane may wait for each other, those of different lanes do not.
    lane: UUID
    url: str
    is_enabled: bool = True


#: A receiver and the events that it wants; None for all.
_Wanting = tuple[Receiver, list[str] | None]


def described(job: JobFigures) -> tuple[str, dict[str, Any]]:
    """The name and the data of the event of a job's end: ours, or OpenAI's if the job is a batch of theirs."""
    if job.kind in openai.BY_NAME:
        return f"batch.{job.state}", {"id": openai.batch_name(job.id)}
    return f"job.{job.state}", {"id": str(job.id), "kind": job.kind, "state": job.state, "counts": job.counts}


def announce(connection: Connection, job_ids: Sequence[UUID]) -> None:
    """Writes deliveries of the end of these jobs, for each one's own webhook and the endpoints that want it."""
    found: dict[UUID, list[_Wanting]] = {}
    for to, events in _receivers(connection, job_ids):
        assert to.job_id is not None  # noqa: S101 - the query's first column
        found.setdefault(to.job_id, []).append((to, events))
    for job_id, receivers in found.items():
        _tell(connection, receivers, *described(read.figures(connection, job_id)))


def announce_failed_batch(connection: Connection, batch_id: UUID, tenant_id: UUID, url: str | None) -> None:
    """The same of a batch whose lines were not taken, which is no job; ``url`` is its own webhook's."""
    cursor = database.cursor(connection)
    cursor.execute(_ENDPOINTS, {"tenant": tenant_id})
    receivers: list[_Wanting] = [
        (Receiver(batch_id, endpoint_id, endpoint_id, url, is_enabled), events)
        for endpoint_id, url, is_enabled, events in cursor.fetchall()
    ]
    if url is not None:
        receivers.append((Receiver(batch_id, None, lane_of(tenant_id, url), url), None))
    _tell(connection, receivers, "batch.failed", {"id": openai.batch_name(batch_id)})


def _tell(connection: Connection, receivers: Sequence[_Wanting], name: str, data: dict[str, Any]) -> None:
    """Writes deliveries for those that want this event, and has the commit ring if one of them is due."""
    for to, events in receivers:
        # The job's own webhook asked for the end of this job, whatever it is called.
        if events is None or includes(events, name):
            write(connection, to, uuid4(), name, to_json(data))
            if to.is_enabled:
                bells.note(connection, bells.DELIVER)


def write(connection: Connection, to: Receiver, delivery_id: UUID, name: str, data: bytes) -> None:
    """One event for one receiver; ``data`` is JSON."""
    made_at = int(datetime.now(UTC).timestamp())
    head = b'{"id":"evt_%b","object":"event","created_at":%d,"type":%b,"data":%b}'
    database.cursor(connection).execute(
        _INSERT,
        {
            "id": delivery_id,
            "job": to.job_id,
            "endpoint": to.endpoint_id,
            "lane": to.lane,
            "url": to.url,
            "event": name,
            "body": head % (delivery_id.hex.encode(), made_at, to_json(name), data),
            "state": DeliveryState.PENDING if to.is_enabled else DeliveryState.FAILED,
        },
    )


def lane_of(tenant_id: UUID, url: str) -> UUID:
    """The lane of a job's own webhook: one for each tenant and host, so that a slow host is in the way of itself."""
    scheme, _, rest = url.partition("://")
    host = re.split("[/?]", rest, maxsplit=1)[0]
    return UUID(bytes=hashlib.blake2b(f"{tenant_id} {scheme}://{host}".lower().encode(), digest_size=16).digest())


def _receivers(connection: Connection, job_ids: Sequence[UUID]) -> list[_Wanting]:
    cursor = database.cursor(connection)
    cursor.execute(_RECEIVERS, {"jobs": list(job_ids)})
    return [
        (Receiver(job_id, endpoint_id, endpoint_id or lane_of(tenant_id, url), url, is_enabled), events)
        for job_id, tenant_id, endpoint_id, url, is_enabled, events in cursor.fetchall()
    ]


_RECEIVERS = """
SELECT id, tenant_id, NULL::uuid, webhook_url, true, NULL::text[] FROM jobs
WHERE id = ANY(%(jobs)s) AND webhook_url IS NOT NULL
UNION ALL
SELECT jobs.id, jobs.tenant_id, endpoint.id, endpoint.url, endpoint.is_enabled, endpoint.events
FROM jobs JOIN webhook_endpoints endpoint ON endpoint.tenant_id = jobs.tenant_id
WHERE jobs.id = ANY(%(jobs)s)
"""

_ENDPOINTS = "SELECT id, url, is_enabled, events FROM webhook_endpoints WHERE tenant_id = %(tenant)s"

_INSERT = """
INSERT INTO deliveries (id, job_id, endpoint_id, lane, url, event, body, state, finished_at)
VALUES (%(id)s, %(job)s, %(endpoint)s, %(lane)s, %(url)s, %(event)s, %(body)s, %(state)s,
        CASE WHEN %(state)s = 'failed' THEN now() END)
"""
