"""Delivers the webhooks that are due, one at a time: sign, post, record. Other threads take the others."""

import logging
from datetime import UTC, datetime
from random import SystemRandom
from uuid import uuid4

from lengthwise import database, queue, settings
from lengthwise.errors import Unavailable
from lengthwise.ledger import delivery
from lengthwise.ledger.delivery import Attempt, Due
from lengthwise.states import DeliveryState
from worker import drain
from worker.backoff import next_delay
from worker.outcome import Outcome
from worker.post import post
from worker.signing import sign

log = logging.getLogger(__name__)
_random = SystemRandom()


def deliver() -> None:
    """The bell's task: delivers until nothing is due."""
    try:
        while not drain.is_stopping() and _deliver_one():
            # Whoever is slow holds this thread alone: another one takes the next.
            queue.ring(queue.DELIVER)
    except Unavailable as error:
        log.warning("leaving deliveries until the sweep rings: %s", error)


def _deliver_one() -> bool:
    current = settings.get()
    token = uuid4()
    with database.translated(), database.engine().begin() as connection:
        # Held for longer than an attempt can take, so that a dead process's delivery is due again soon after.
        found = delivery.claim_due(connection, token, limit=1, hold_seconds=2 * current.webhook_timeout_seconds)
    for due in found:
        started_at = datetime.now(UTC)
        outcome = _post(due, int(started_at.timestamp()))
        state, seconds = next_step(due.attempts + 1, outcome)
        attempt = Attempt(started_at, outcome.seconds, outcome.status, outcome.error, outcome.response_head)
        with database.translated(), database.engine().begin() as connection:
            delivery.record(connection, due, token, attempt, state, seconds)
    return bool(found)


def _post(due: Due, timestamp: int) -> Outcome:
    current = settings.get()
    return post(
        due.url,
        due.body,
        sign(due.secrets, f"msg_{due.id.hex}", timestamp, due.body),
        allowed=current.webhook_allowed_networks,
        timeout=current.webhook_timeout_seconds,
    )


def next_step(attempt: int, outcome: Outcome) -> tuple[DeliveryState, float | None]:
    """Where the ``attempt``-th outcome (from 1) leaves a delivery, and the seconds until it is tried again."""
    if outcome.delivered:
        return DeliveryState.DELIVERED, None
    seconds = None if outcome.gone else next_delay(attempt, outcome.retry_after, _random)
    return (DeliveryState.FAILED, None) if seconds is None else (DeliveryState.PENDING, seconds)
