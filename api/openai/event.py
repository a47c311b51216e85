"""The event of a batch whose lines were not taken; that of any other batch's end is its job's."""

from datetime import UTC, datetime
from uuid import uuid4

from pydantic_core import to_json
from sqlalchemy import Connection

from api.openai.identifier import batch_name
from lengthwise.ledger import event
from lengthwise.ledger.validation import Waiting


def failed(connection: Connection, waiting: Waiting) -> bool:
    """Writes the delivery, in the transaction that ends the batch. Returns whether there is a webhook."""
    if waiting.webhook_url is None or waiting.webhook_secret is None:
        return False
    delivery_id = uuid4()
    body = to_json({
        "id": f"evt_{delivery_id.hex}",
        "object": "event",
        "created_at": int(datetime.now(UTC).timestamp()),
        "type": "batch.failed",
        "data": {"id": batch_name(waiting.id)},
    })  # fmt: skip
    hook = (waiting.webhook_url, waiting.webhook_secret)
    event.write(connection, delivery_id, waiting.id, hook, "batch.failed", body)
    return True
