"""Mends what time alone must mend, every few seconds; any number of sweeps may run at once."""

import logging
import time
from uuid import uuid4

from lengthwise import database, queue, settings
from lengthwise.errors import Unavailable
from lengthwise.ledger import cancel, retention
from lengthwise.ledger import sweep as ledger
from lengthwise.ledger.claim import claim_exhausted
from lengthwise.ledger.settle import complete, settle
from worker.work import refuse

log = logging.getLogger(__name__)

#: One sweep removes rows of forgotten jobs for this long, in transactions of about 10,000 rows or a tenth of a second.
_PURGE_SECONDS = 0.5
_PURGE_ITEMS = 5_000


def sweep() -> None:
    """Expires leases and deadlines, ends jobs whose end was missed, rings for whatever waits, and forgets old jobs."""
    try:
        with database.translated():
            _mend()
            _ring()
            _forget()
    except Unavailable as error:
        log.warning("not swept: %s", error)


def _mend() -> None:
    current = settings.get()
    engine = database.engine()
    with engine.begin() as connection:
        if expired := ledger.expire_leases(connection, max_attempts=current.max_attempts):
            log.warning("%d shards taken back from workers that fell silent", expired)
    with engine.begin() as connection:
        token = uuid4()
        exhausted = claim_exhausted(
            connection, token, max_attempts=current.max_attempts, lease_seconds=current.lease_seconds
        )
        if exhausted:
            settle(connection, token, refuse(exhausted, "worker_lost"))
    with engine.begin() as connection:
        cancel.expire(connection)
    with engine.begin() as connection:
        complete(connection, ledger.finished_jobs(connection))


def _ring() -> None:
    with database.engine().begin() as connection:
        pools = ledger.waiting_pools(connection)
        due = ledger.deliveries_due(connection)
    for pool in pools:
        queue.ring(queue.GENERATE, [pool])
    if due:
        queue.ring(queue.DELIVER)


def _forget() -> None:
    end = time.monotonic() + _PURGE_SECONDS
    with database.engine().begin() as connection:
        retention.expire(connection, retention_seconds=settings.get().retention_seconds)
    is_more = True
    while is_more and time.monotonic() < end:
        with database.engine().begin() as connection:
            is_more = retention.purge(connection, items=_PURGE_ITEMS) > 0
