"""The sweep: handles expired leases, lost bells and deadlines every second. Several workers may sweep at once."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from uuid import UUID, uuid4

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection

from lengthwise import database, logs, queue, settings
from lengthwise.errors import ConfigurationError, Unavailable
from lengthwise.ledger import store, workers
from lengthwise.ledger.accounts import usage
from lengthwise.ledger.jobs import cancel, retention
from lengthwise.ledger.openai import batch, file
from lengthwise.ledger.queue import sweep as ledger
from lengthwise.ledger.queue import urgency, work_rate
from lengthwise.ledger.queue.claim import claim_condemned
from lengthwise.ledger.queue.settle import complete_jobs, settle
from lengthwise.ledger.webhooks import sealed_secret
from lengthwise.metrics import meters
from worker.generation.settlement import note_ended
from worker.generation.work.items import refuse
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

#: Deleting the rows of expired jobs may take this share of the time, in transactions of about 10,000 rows.
_PURGE_SHARE = 0.1
_PURGE_ITEMS = 5_000
_LOCK_SECONDS = 0.5
#: The most secrets that are sealed again in one transaction.
_SEALED = 1_000
#: The most ended jobs that are added to usage in one transaction.
_COUNT_JOBS = 100
#: How often secrets are checked, and lost workers forgotten.
_SELDOM_SECONDS = 30.0
#: How often jobs, batches and files are looked for whose time is over. They have lived for an hour at least.
_EXPIRE_SECONDS = 10.0
#: How long a lost worker is shown.
_SHOWN_SECONDS = 3600.0


class Sweeper:
    """Sweeps from a thread of a delivery worker, and so without the broker, which may be away."""

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._seldom_at, self._expired_at = -_SELDOM_SECONDS, -_EXPIRE_SECONDS
        self._rated_at = -float(work_rate.INTERVAL_SECONDS)
        self._checked: UUID | None = None  # the open job that was checked last
        #: When the last round ended, by the monotonic clock; 0 before the first one began.
        self._swept_at = 0.0

    def start(self) -> None:
        """Starts the thread. It ends when the worker shuts down."""
        self._swept_at = time.monotonic()
        Thread(target=self._run, name="clock", daemon=True).start()

    def is_stuck(self) -> bool:
        """Whether the thread has begun, and no round has ended for ``hang_seconds``."""
        return bool(self._swept_at) and time.monotonic() - self._swept_at > settings.get().hang_seconds

    def _run(self) -> None:
        while not self._shutdown.is_begun:
            try:
                with logs.bound(task="sweep"):
                    self.sweep()
            except Exception as error:  # the next sweep tries again
                log.error("not swept: unexpected %s", type(error).__name__, extra=logs.raised(error))
            self._swept_at = time.monotonic()
            time.sleep(settings.get().sweep_seconds)

    def sweep(self) -> None:
        """Expires leases and deadlines, rings bells, counts usage and deletes old jobs. Checks some jobs."""
        try:
            with database.translated():
                _repair()
                self._check_jobs()
                if self._is_seldom_due():
                    _seal()
                    _forget_workers()
                _ring_bells()
                _count_usage()
                self._add_rate()
                self._expire()
                _purge()
        except Unavailable as error:
            log.warning("not swept: %s", error)

    def _check_jobs(self) -> None:
        """Looks for what should never happen, in the next open jobs. So its cost does not grow with them."""
        with _transaction() as connection:
            finished, self._checked = ledger.find_finished_jobs(connection, after=self._checked)
            ended = complete_jobs(connection, finished)
        note_ended(ended)

    def _add_rate(self) -> None:
        if time.monotonic() - self._rated_at >= work_rate.INTERVAL_SECONDS:
            self._rated_at = time.monotonic()
            with _transaction() as connection:
                work_rate.add(connection)

    def _expire(self) -> None:
        """Hides what is older than its retention. If there was anything, more may be found in the next sweep."""
        if time.monotonic() - self._expired_at < _EXPIRE_SECONDS:
            return
        seconds = settings.get().retention_seconds
        with _transaction() as connection:
            n_expired = retention.expire(connection, retention_seconds=seconds)
            n_expired += batch.expire(connection, retention_seconds=seconds) + file.expire(connection)
        if not n_expired:
            self._expired_at = time.monotonic()

    def _is_seldom_due(self) -> bool:
        is_due = time.monotonic() - self._seldom_at >= _SELDOM_SECONDS
        self._seldom_at = time.monotonic() if is_due else self._seldom_at
        return is_due


@contextmanager
def _transaction(*, pipelined: bool = False) -> Iterator[Connection]:
    """A transaction that waits only briefly for locks: a holder may be frozen, and only the next sweep would end it."""
    with database.engine().begin(pipelined=pipelined) as connection:
        database.limit_lock_wait(connection, _LOCK_SECONDS)
        yield connection


def _repair() -> None:
    current = settings.get()
    with _transaction(pipelined=True) as connection:
        # No live session is silent for this long. By then, the leases of a dead worker have expired too.
        if frozen := ledger.end_frozen_sessions(connection, seconds=current.lease_seconds / 2):
            log.warning("database sessions of frozen or lost processes that were ended: %d", frozen)
    with _transaction(pipelined=True) as connection:
        expired = ledger.expire_leases(connection, max_deaths=current.max_deaths)
    if expired:
        shards, jobs = {shard for shard, _ in expired}, {job for _, job in expired}
        about = {"fields": logs.named("shard", shards) | logs.named("job", jobs)}
        log.warning("leases that workers stopped renewing: %d; their shards run again", len(expired), extra=about)
        meters.get().count_expired_leases(len(expired))
    _fail_condemned(current)
    with _transaction(pipelined=True) as connection:
        urgency.raise_priorities(connection)
    with _transaction(pipelined=True) as connection:
        n_missed = cancel.expire(connection)
    meters.get().count_ended([0.0] * n_missed)
    if n_missed:
        log.info("jobs that expired at their deadline: %d", n_missed)
    with _transaction(pipelined=True) as connection:
        for batch_id, tenant_id in batch.find_half_cancelled(connection):
            cancel.cancel(connection, batch_id, tenant_id)


def _fail_condemned(current: settings.Settings) -> None:
    """Fails the items over which too many workers died."""
    token = uuid4()
    with _transaction(pipelined=True) as connection:
        condemned = claim_condemned(
            connection, token, max_deaths=current.max_deaths, lease_seconds=current.lease_seconds
        )
        if condemned is None:
            return
        refused = refuse(condemned, "worker_lost")
        settled = settle(connection, token, refused)
    about = {"fields": logs.named("shard", condemned.shards) | logs.named("job", condemned.jobs)}
    log.warning("items that failed because their workers died over them: %d", len(condemned.items), extra=about)
    meters.get().count_quarantined(len(condemned.items))
    meters.get().count_settled([done for done in refused if done.shard_id in settled.ids])
    note_ended(settled.ended)


def _seal() -> None:
    """Seals every secret under the first master key, and deletes those that were rotated out."""
    try:
        with _transaction() as connection:
            sealed_secret.forget_rotated(connection)
            if sealed := sealed_secret.reseal(connection, limit=_SEALED):
                log.info("%d secrets sealed under the first master key", sealed)
    except ConfigurationError as error:
        log.error("secrets were not sealed again: %s", error)


def _forget_workers() -> None:
    with suppress(LockNotAvailable), _transaction() as connection:
        workers.forget(connection, seconds=_SHOWN_SECONDS)


def _ring_bells() -> None:
    with _transaction(pipelined=True) as connection:
        pools = ledger.find_waiting_pools(connection)
        due = ledger.has_due_deliveries(connection)
    for pool in pools:
        queue.ring(queue.GENERATE, [pool.name])
    if due:
        queue.ring(queue.DELIVER)


def _count_usage() -> None:
    is_more = True
    while is_more:
        with _transaction() as connection:
            is_more = usage.add_ended_jobs(connection, limit=_COUNT_JOBS) == _COUNT_JOBS


def _purge() -> None:
    """Empties stores that no job needs, and removes rows of deleted jobs and files."""
    with _transaction() as connection:
        left = store.find_left(connection)
    for number in left:
        with suppress(LockNotAvailable), _transaction() as connection:  # somebody still reads there: the next sweep
            store.empty(connection, number)
    is_more, end = True, time.monotonic() + _PURGE_SHARE * settings.get().sweep_seconds
    while is_more and time.monotonic() < end:
        with _transaction() as connection:
            is_more = retention.purge(connection, items=_PURGE_ITEMS) > 0
            is_more |= file.purge(connection)
