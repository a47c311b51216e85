"""Mends what time alone must mend, every few seconds; any number of sweeps may run at once."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import Connection

from lengthwise import database, queue, settings
from lengthwise.errors import ConfigurationError, Unavailable
from lengthwise.ledger.accounts import usage
from lengthwise.ledger.jobs import cancel, retention
from lengthwise.ledger.openai import batch, file
from lengthwise.ledger.queue import sweep as ledger
from lengthwise.ledger.queue import urgency
from lengthwise.ledger.queue.claim import claim_condemned
from lengthwise.ledger.queue.settle import complete_jobs, settle
from lengthwise.ledger.webhooks import sealed_secret
from worker.generation.work import refuse

log = logging.getLogger(__name__)

#: Rows of forgotten jobs are removed for this share of the time, in transactions of about 10,000 of them.
_PURGE_SHARE = 0.1
_PURGE_ITEMS = 5_000
_LOCK_SECONDS = 0.5
#: Secrets in one transaction.
_SEALED = 1_000
#: Ended jobs that are added to usage in one transaction.
_COUNT_JOBS = 100


class _Net:
    """Looks through all open jobs: a net below what should not fall, and too much for every second."""

    def __init__(self) -> None:
        self._looked_at = -_NET_SECONDS

    def is_due(self) -> bool:
        due = time.monotonic() - self._looked_at >= _NET_SECONDS
        self._looked_at = time.monotonic() if due else self._looked_at
        return due


_NET_SECONDS = 30.0
_net = _Net()


def sweep() -> None:
    """Expires leases and deadlines, ends jobs whose end was missed, rings for what waits, counts and forgets jobs."""
    try:
        with database.translated():
            _mend()
            _ring()
            _count()
            _forget()
    except Unavailable as error:
        log.warning("not swept: %s", error)


@contextmanager
def _transaction() -> Iterator[Connection]:
    """Gives up soon on a lock: who holds it may be frozen, and is only ended by the next sweep."""
    with database.engine().begin() as connection:
        database.limit_lock_wait(connection, _LOCK_SECONDS)
        yield connection


def _mend() -> None:
    current = settings.get()
    with _transaction() as connection:
        # A worker's shards come back by then, too, if it died: nobody who lives is silent for so long.
        if frozen := ledger.end_frozen_sessions(connection, seconds=current.lease_seconds / 2):
            log.warning("%d database sessions ended: their processes are frozen or gone", frozen)
    with _transaction() as connection:
        if expired := ledger.expire_leases(connection, max_deaths=current.max_deaths):
            log.warning("%d shards taken back from workers that fell silent", expired)
    with _transaction() as connection:
        token = uuid4()
        condemned = claim_condemned(
            connection, token, max_deaths=current.max_deaths, lease_seconds=current.lease_seconds
        )
        if condemned:
            log.warning("%d items refused: workers died over each, alone", len(condemned.items))
            settle(connection, token, refuse(condemned, "worker_lost"))
    with _transaction() as connection:
        urgency.raise_priorities(connection)
    with _transaction() as connection:
        cancel.expire(connection)
    with _transaction() as connection:
        for batch_id, tenant_id in batch.find_half_cancelled(connection):
            cancel.cancel(connection, batch_id, tenant_id)
    if _net.is_due():
        with _transaction() as connection:
            complete_jobs(connection, ledger.find_finished_jobs(connection))
        _seal()


def _seal() -> None:
    """Brings every secret under the first master key, and forgets those that were rotated out."""
    try:
        with _transaction() as connection:
            sealed_secret.forget_rotated(connection)
            if sealed := sealed_secret.reseal(connection, limit=_SEALED):
                log.info("%d secrets sealed under the first master key", sealed)
    except ConfigurationError as error:
        log.error("secrets were not sealed anew: %s", error)


def _ring() -> None:
    with _transaction() as connection:
        pools = ledger.find_waiting_pools(connection)
        due = ledger.has_due_deliveries(connection)
    # Bells that nobody hears yet are enough: whoever comes works for all pools.
    if pools and queue.count_bells(queue.GENERATE) < queue.MAX_BELLS:
        for pool in pools:
            queue.ring(queue.GENERATE, [pool.name])
    if due and queue.count_bells(queue.DELIVER) < queue.MAX_BELLS:
        queue.ring(queue.DELIVER)


def _count() -> None:
    is_more = True
    while is_more:
        with _transaction() as connection:
            is_more = usage.add_ended_jobs(connection, limit=_COUNT_JOBS) == _COUNT_JOBS


def _forget() -> None:
    current = settings.get()
    end = time.monotonic() + _PURGE_SHARE * current.sweep_seconds
    with _transaction() as connection:
        retention.expire(connection, retention_seconds=current.retention_seconds)
        batch.expire(connection, retention_seconds=current.retention_seconds)
        file.expire(connection)
    is_more = True
    while is_more and time.monotonic() < end:
        with _transaction() as connection:
            is_more = retention.purge(connection, items=_PURGE_ITEMS) > 0
            is_more |= file.purge(connection)
