"""Writes events, one delivery for each receiver, in the transaction that makes them true.

A delivery holds no secret. Each attempt reads the secret from the job or the endpoint, so that after a rotation older
deliveries use the new one too. Knows nothing of how a body is signed or sent.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from pydantic_core import to_json
from sqlalchemy import Connection

from lengthwise import bells, database, json_line
from lengthwise.kinds import openai
from lengthwise.ledger import job_figures
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.states import DeliveryState
from lengthwise.webhooks.subscription import includes


@dataclass(frozen=True, slots=True)
class EventReceiver:
    """Where an event goes: a job's own webhook, or an endpoint.

    For a disabled endpoint the delivery is stored as failed, so that it can be replayed later.
    """

    job_id: UUID | None
    endpoint_id: UUID | None
    #: Deliveries in one lane may wait for each other. Those in different lanes never do.
    lane: UUID
    url: str
    is_enabled: bool = True


#: A receiver, and the events that it wants; None means all.
_Subscriber = tuple[EventReceiver, list[str] | None]


def describe_end(job: JobFigures) -> tuple[str, dict[str, Any]]:
    """The name and the data of the event of a job's end. A batch of the OpenAI-compatible surface has OpenAI's form."""
    if job.kind in openai.BY_NAME:
        return f"batch.{job.state}", {"id": openai.batch_name(job.id)}
    data = {"id": str(job.id), "kind": job.kind, "state": job.state, "counts": job.counts, "warnings": job.n_warned}
    return f"job.{job.state}", data


def announce_end(connection: Connection, job_ids: Sequence[UUID]) -> None:
    """Writes the events of the end of these jobs, for each job's own webhook and for the endpoints that want them."""
    found: dict[UUID, list[_Subscriber]] = {}
    for to, events in _receivers(connection, job_ids):
        assert to.job_id is not None  # noqa: S101 - the query's first column
        found.setdefault(to.job_id, []).append((to, events))
    for job_id, receivers in found.items():
        _write_for_all(connection, receivers, *describe_end(job_figures.read(connection, job_id)))


def announce_failed_batch(connection: Connection, batch_id: UUID, tenant_id: UUID, url: str | None) -> None:
    """Writes the event of a batch whose file was refused, so that it has no job. ``url`` is its own webhook's."""
    cursor = database.cursor(connection)
    cursor.execute(_ENDPOINTS, {"tenant": tenant_id})
    receivers: list[_Subscriber] = [
        (EventReceiver(batch_id, endpoint_id, endpoint_id, url, is_enabled), events)
        for endpoint_id, url, is_enabled, events in cursor.fetchall()
    ]
    if url is not None:
        receivers.append((EventReceiver(batch_id, None, lane_for(tenant_id, url), url), None))
    _write_for_all(connection, receivers, "batch.failed", {"id": openai.batch_name(batch_id)})


def _write_for_all(connection: Connection, receivers: Sequence[_Subscriber], name: str, data: dict[str, Any]) -> None:
    """Writes a delivery for each receiver that wants this event, and notes a bell if one is due."""
    for to, events in receivers:
        # A job's own webhook has no list of events: it always wants the end of its job.
        if events is None or includes(events, name):
            write(connection, to, uuid4(), name, to_json(data))
            if to.is_enabled:
                bells.note(connection, bells.DELIVER)


def write(connection: Connection, to: EventReceiver, delivery_id: UUID, name: str, data: bytes) -> None:
    """Writes one event for one receiver. ``data`` is JSON."""
    database.cursor(connection).execute(
        _INSERT,
        {
            "id": delivery_id,
            "job": to.job_id,
            "endpoint": to.endpoint_id,
            "lane": to.lane,
            "url": to.url,
            "event": name,
            "head": b'{"id":"evt_%b","object":"event","created_at":' % delivery_id.hex.encode(),
            "tail": json_line.escaped(b',"type":%b,"data":%b}' % (to_json(name), data)),
            "state": DeliveryState.PENDING if to.is_enabled else DeliveryState.FAILED,
        },
    )


def lane_for(tenant_id: UUID, url: str) -> UUID:
    """The lane of a job's own webhook: one for each tenant and host, so that a slow host delays only itself."""
    scheme, _, rest = url.partition("://")
    host = re.split("[/?]", rest, maxsplit=1)[0]
    return UUID(bytes=hashlib.blake2b(f"{tenant_id} {scheme}://{host}".lower().encode(), digest_size=16).digest())


def _receivers(connection: Connection, job_ids: Sequence[UUID]) -> list[_Subscriber]:
    cursor = database.cursor(connection)
    cursor.execute(_RECEIVERS, {"jobs": list(job_ids)})
    return [
        (EventReceiver(job_id, endpoint_id, endpoint_id or lane_for(tenant_id, url), url, is_enabled), events)
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

# The event is stamped by the database's clock.
_INSERT = """
INSERT INTO deliveries (id, job_id, endpoint_id, lane, url, event, body, state, finished_at)
VALUES (%(id)s, %(job)s, %(endpoint)s, %(lane)s, %(url)s, %(event)s,
        %(head)b::bytea || convert_to(floor(extract(epoch FROM now()))::text, 'UTF8') || %(tail)b::bytea, %(state)s,
        CASE WHEN %(state)s = 'failed' THEN now() END)
"""
