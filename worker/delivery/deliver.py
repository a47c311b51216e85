"""Delivers webhooks that are due, many at a time: claims them, signs them, sends them and records the attempts.

In each process, the task of one bell claims deliveries and gives each to a thread. It claims again when another bell
comes or an attempt ends. A receiver that does not answer blocks only its own threads. These are few, because the
ledger limits the attempts per receiver across all processes.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from random import SystemRandom
from threading import Event, Lock
from uuid import UUID, uuid4

from lengthwise import database, logs, queue, settings, traces
from lengthwise.errors import ConfigurationError, Unavailable
from lengthwise.ledger.webhooks import delivery, push
from lengthwise.ledger.webhooks.delivery import DeliveryAttempt, DueDelivery
from lengthwise.metrics import meters
from lengthwise.states import DeliveryState
from lengthwise.traces import TraceSpan
from worker.delivery.http_attempt import post
from worker.delivery.outcome import AttemptOutcome, next_delay
from worker.delivery.signing import sign
from worker.presence import Presence
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)
_random = SystemRandom()

#: The most shards whose results become pages in one transaction.
_PUSHED_SHARDS = 64
#: A claimed delivery is held for this many time-outs, which is longer than an attempt and its record can take. If the
#: process dies, the delivery is due again afterwards.
_HOLD = 2
#: How often a worker that shuts down checks whether its attempts have ended.
_LOOK_SECONDS = 1.0


class AttemptThreads:
    """The threads of this process, and how many of them are free."""

    def __init__(self, threads: int, presence: Presence) -> None:
        self._pool = ThreadPoolExecutor(threads, "attempt")
        self._presence = presence
        self._lock = Lock()
        self._n_threads, self._n_running = threads, 0
        #: Set when a delivery may have become due, or a thread free.
        self.changed = Event()
        #: Held by the task that claims deliveries: only one does at a time.
        self.claiming = Lock()

    @property
    def n_free(self) -> int:
        return self._n_threads - self._n_running

    @property
    def n_running(self) -> int:
        return self._n_running

    def start(self, due: DueDelivery, token: UUID) -> None:
        self._count(1)
        self._pool.submit(self._run, due, token)

    def _run(self, due: DueDelivery, token: UUID) -> None:
        trace = traces.trace_id(due.trace)
        with logs.bound(delivery=due.id, endpoint=due.endpoint_id, job=due.job_id, trace=trace):
            self._attempt(due, token)

    def _attempt(self, due: DueDelivery, token: UUID) -> None:
        try:
            _deliver(due, token)
            self._presence.settled(1)
        except Exception as error:
            self._presence.error(error)
            _log(error)
        finally:
            self._count(-1)
            self.changed.set()

    def _count(self, change: int) -> None:
        with self._lock:
            self._n_running += change


def _log(error: Exception) -> None:
    if isinstance(error, Unavailable):
        log.warning("an attempt was not recorded, and will be repeated: %s", error)
    elif isinstance(error, ConfigurationError):
        log.error("a webhook was not sent; it will be sent when this is corrected: %s", error)
    else:  # only its type is logged: its message may hold what the receiver sent
        log.error("an attempt ended with an unexpected %s", type(error).__name__, extra=logs.raised(error))


class Deliverer:
    """The deliveries of one process."""

    def __init__(self, shutdown: Shutdown, presence: Presence) -> None:
        self._shutdown, self._presence = shutdown, presence

    @cached_property
    def _attempts(self) -> AttemptThreads:
        return AttemptThreads(settings.get().webhook_concurrency, self._presence)

    def step_at(self) -> float:
        """Now, by the monotonic clock, while attempts run; 0 while none does. Each of them ends within its time-out."""
        is_running = "_attempts" in vars(self) and self._attempts.n_running  # asking must not make them
        return time.monotonic() if is_running else 0.0

    def deliver(self) -> None:
        """Handles a delivery bell: delivers until nothing is due and no attempt runs, or the slice of time is over."""
        attempts = self._attempts
        attempts.changed.set()
        # If another task holds the lock, ``changed`` makes it claim again. If it is just ending, this loop takes over.
        while attempts.changed.is_set() and attempts.claiming.acquire(blocking=False):
            try:
                is_over = self._run_slice(attempts)
            finally:
                attempts.claiming.release()
            if not is_over:
                queue.ring(queue.DELIVER)
                return

    def _run_slice(self, attempts: AttemptThreads) -> bool:
        """Claims and starts deliveries. Returns whether all work is done; False if the slice of time ended first."""
        ends_at = time.monotonic() + settings.get().slice_seconds
        while not self._shutdown.is_begun:
            if time.monotonic() >= ends_at:
                return False
            attempts.changed.clear()
            try:
                is_more = _push() | _start(attempts)
            except Unavailable as error:
                log.warning("leaving deliveries until the sweep rings: %s", error)
                self._presence.error(error)
                return True
            if is_more and attempts.n_free:
                continue
            if not attempts.n_running and not attempts.changed.is_set():
                return True
            attempts.changed.wait(max(0.0, ends_at - time.monotonic()))
        # A worker that shuts down waits for its attempts. Each ends within its time-out.
        attempts.changed.clear()
        while attempts.n_running:
            attempts.changed.wait(_LOOK_SECONDS)
            attempts.changed.clear()
        return True


def _push() -> bool:
    """Turns settled results into pages to deliver. Returns whether there may be more."""
    with database.translated(), database.engine().begin() as connection:
        return push.write_pages(connection, shards=_PUSHED_SHARDS) > 0


def _start(attempts: AttemptThreads) -> bool:
    """Claims deliveries that are due, and starts one in each free thread. Returns whether more may be due."""
    if not attempts.n_free:
        return True
    token, current = uuid4(), settings.get()
    with database.translated(), database.engine().begin() as connection:
        found, is_more = delivery.claim_due(
            connection,
            token,
            limit=attempts.n_free,
            lane_limit=current.webhook_receiver_concurrency,
            hold_seconds=_HOLD * current.webhook_timeout_seconds,
        )
    for due in found:
        attempts.start(due, token)
    return is_more


def _deliver(due: DueDelivery, token: UUID) -> None:
    with traces.span("deliver", due.trace, kind="client", attributes={"lengthwise.attempt": due.attempts + 1}) as span:
        _attempt(due, token, span)


def _attempt(due: DueDelivery, token: UUID, span: TraceSpan) -> None:
    started_at = due.now()
    outcome = _post(due, int(started_at.timestamp()))
    meters.get().count_attempt(outcome.result)
    state, seconds = next_step(due.attempts + 1, outcome)
    if outcome.status is not None:
        span.add({"http.response.status_code": outcome.status})
    if not outcome.delivered:
        span.fail(outcome.error or "status")
    _tell(due.attempts + 1, outcome, seconds)
    attempt = DeliveryAttempt(started_at, outcome.seconds, outcome.status, outcome.error, outcome.response_excerpt)
    failing_seconds = settings.get().webhook_failing_seconds
    with database.translated(), database.engine().begin() as connection:
        if not delivery.record(connection, due, token, attempt, state, seconds, failing_seconds):
            log.warning("another process holds this delivery now: the attempt was not recorded")


def _tell(attempt: int, outcome: AttemptOutcome, seconds: float | None) -> None:
    said = outcome.error or f"status {outcome.status}"
    if outcome.delivered:
        log.info("a webhook was delivered: %s", said)
    elif seconds is None:
        log.warning("attempt %d to deliver a webhook failed: %s; it was the last", attempt, said)
    else:
        log.info("attempt %d to deliver a webhook failed: %s; the next is in %.0f s", attempt, said, seconds)


def _post(due: DueDelivery, timestamp: int) -> AttemptOutcome:
    current = settings.get()
    secrets, signing_keys = due.keys()
    trace = traces.current()
    headers = {"traceparent": trace} if trace else {}
    return post(
        due.url,
        due.body,
        headers | sign(secrets, f"msg_{due.id.hex}", timestamp, due.body, signing_keys),
        allowed=current.webhook_allowed_networks,
        timeout=current.webhook_timeout_seconds,
    )


def next_step(attempt: int, outcome: AttemptOutcome) -> tuple[DeliveryState, float | None]:
    """A delivery's state after its ``attempt``-th attempt (from 1), and the seconds until the next, if there is one."""
    if outcome.delivered:
        return DeliveryState.DELIVERED, None
    seconds = None if outcome.gone else next_delay(attempt, outcome.retry_after, _random)
    return (DeliveryState.FAILED, None) if seconds is None else (DeliveryState.PENDING, seconds)
