"""Delivers the webhooks that are due: claim one, ring for the next, sign, post, record."""

import logging
from datetime import UTC, datetime
from random import SystemRandom
from uuid import UUID, uuid4

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
        while not drain.is_stopping():
            token = uuid4()
            due = _claim(token)
            if due is None:
                return
            # A slow receiver holds this thread alone: another one takes the next.
            queue.ring(queue.DELIVER)
            _deliver(due, token)
    except Unavailable as error:
        log.warning("leaving deliveries until the sweep rings: %s", error)


def _claim(token: UUID) -> Due | None:
    # Held for longer than an attempt can take, so that a dead process's delivery is due again soon after.
    hold_seconds = 2 * settings.get().webhook_timeout_seconds
    with database.translated(), database.engine().begin() as connection:
        return next(iter(delivery.claim_due(connection, token, limit=1, hold_seconds=hold_seconds)), None)


def _deliver(due: Due, token: UUID) -> None:
    started_at = datetime.now(UTC)
    outcome = _post(due, int(started_at.timestamp()))
    state, seconds = next_step(due.attempts + 1, outcome)
    attempt = Attempt(started_at, outcome.seconds, outcome.status, outcome.error, outcome.response_head)
    with database.translated(), database.engine().begin() as connection:
        if not delivery.record(connection, due, token, attempt, state, seconds):
            log.warning("a delivery was no longer ours: its attempt was not written")


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
