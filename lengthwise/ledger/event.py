"""The event of a job's end, and its delivery row: written in the transaction that ends the job."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from pydantic_core import to_json
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.kinds import openai
from lengthwise.ledger import read


def announce(connection: Connection, job_ids: Sequence[UUID]) -> bool:
    """Writes a delivery for each of these ended jobs that has a webhook. Returns whether there was one."""
    hooks = _webhooks(connection, job_ids)
    for job_id, url, secret in hooks:
        job = read.figures(connection, job_id)
        delivery_id = uuid4()
        is_batch = job.kind in openai.BY_NAME
        name = f"{'batch' if is_batch else 'job'}.{job.state}"
        data = {"id": str(job_id), "kind": job.kind, "state": job.state, "counts": job.counts}
        body = to_json({
            "id": f"evt_{delivery_id.hex}",
            "object": "event",
            "created_at": int(datetime.now(UTC).timestamp()),
            "type": name,
            "data": {"id": f"batch_{job_id.hex}"} if is_batch else data,
        })  # fmt: skip
        write(connection, delivery_id, job_id, (url, secret), name, body)
    return bool(hooks)


def write(
    connection: Connection, delivery_id: UUID, job_id: UUID, webhook: tuple[str, str], name: str, body: bytes
) -> None:
    """A delivery that is due at once, to a webhook's URL under its secret."""
    url, secret = webhook
    values = {"id": delivery_id, "job": job_id, "url": url, "secrets": [secret], "event": name, "body": body}
    database.cursor(connection).execute(_INSERT_DELIVERY, values)


def _webhooks(connection: Connection, job_ids: Sequence[UUID]) -> list[tuple[UUID, str, str]]:
    cursor = database.cursor(connection)
    cursor.execute(_WEBHOOKS, {"jobs": list(job_ids)})
    return cursor.fetchall()


_WEBHOOKS = """
SELECT id, webhook_url, webhook_secret FROM jobs WHERE id = ANY(%(jobs)s) AND webhook_url IS NOT NULL
"""

_INSERT_DELIVERY = """
INSERT INTO deliveries (id, job_id, url, secrets, event, body, state)
VALUES (%(id)s, %(job)s, %(url)s, %(secrets)s, %(event)s, %(body)s, 'pending')
"""
