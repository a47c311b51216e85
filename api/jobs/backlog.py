"""How many tokens wait or run, and whether that is too many. The figures are cheap, and not exact.

Each API process sums up the open jobs for itself, at most once a second and for at most a twentieth of its time, and
adds the jobs that it took since. Jobs that other processes took since, and jobs that are being taken now, are missing.
So a limit may be overrun by what arrives within a second, or within a few seconds if very many jobs wait. A job that
arrives while there is room is taken whole. No request waits for a measurement, unless the last one is old.
"""

import logging
import math
import time
from collections import Counter
from threading import Lock, Thread
from typing import NamedTuple
from uuid import UUID

from lengthwise.database import Database, translated
from lengthwise.errors import TooBusy, Unavailable
from lengthwise.ledger.accounts import tenant as tenants
from lengthwise.ledger.queue import pending
from lengthwise.ledger.queue.pending import PendingWork
from lengthwise.settings import Settings

log = logging.getLogger(__name__)

#: Figures that are older than this, as they are after a quiet time, are measured again before they are used.
_OLD_SECONDS = 10.0
#: The pause between two measurements: a second, or this many times what the last one took.
_PAUSE_SECONDS = 1.0
_PAUSE_FACTOR = 20
#: Bounds of the Retry-After of a refusal: the time in which the excess should be done at the last measured rate. The
#: lower bound applies until a rate was measured.
_WAIT_SECONDS = (5, 300)

_NOTHING = PendingWork(0, 0, None, None)


class Filling(NamedTuple):
    """How much of a limit is in use."""

    used: int
    limit: int

    @property
    def is_full(self) -> bool:
        return self.used >= self.limit


class Backlog:
    """The tokens that wait or run, as this process knows it. Threads share it."""

    def __init__(self, database: Database, current: Settings) -> None:
        self._database = database
        self._settings = current
        self._measured: dict[UUID, PendingWork] = {}
        self._added: Counter[UUID] = Counter()
        self._rate = 0.0  # tokens settled a second
        self._measured_at = -math.inf
        self._due_at = -math.inf
        self._measuring = Lock()
        self._figures = Lock()

    @property
    def is_due(self) -> bool:
        """Whether the figures should be measured again."""
        return time.monotonic() >= self._due_at

    @property
    def is_old(self) -> bool:
        """Whether the last figures are too old to be used while new ones are measured."""
        return time.monotonic() - self._measured_at >= max(_OLD_SECONDS, 2 * (self._due_at - self._measured_at))

    def refresh(self) -> None:
        """Measures if that is due, and waits for it only if the last figures are old. Raises ``Unavailable``."""
        if self.is_old:
            self.measure()
        elif self.is_due:
            self.measure_soon()

    def measure_soon(self) -> None:
        """Measures in a thread. If that fails, the last figures hold."""
        if not self._measuring.locked():
            Thread(target=self._try_measure, name="backlog", daemon=True).start()

    def _try_measure(self) -> None:
        try:
            self.measure()
        except Unavailable as error:
            log.warning("the backlog was not measured: %s", error)

    def measure(self) -> None:
        """Measures if that is due. While another thread measures, the last figures hold. Raises ``Unavailable``."""
        is_first = self._measured_at == -math.inf
        if not self._measuring.acquire(blocking=is_first):
            return
        try:
            if self.is_due:
                self._measure()
        finally:
            self._measuring.release()

    def _measure(self) -> None:
        with self._figures:
            before = self._total()
            seen = Counter(self._added)  # these jobs are committed, so the sums will include them
        started = time.monotonic()
        with translated(), self._database.begin() as connection:
            measured = pending.sum_by_tenant(connection)
        now = time.monotonic()
        with self._figures:
            self._measured = measured
            self._added -= seen
            if self._measured_at > -math.inf:
                self._rate = (before - self._total()) / (now - self._measured_at)
            self._measured_at = now
            self._due_at = now + max(_PAUSE_SECONDS, _PAUSE_FACTOR * (now - started))

    def add(self, tenant: UUID, tokens: int) -> None:
        """Counts a job that this process took, until the next measurement sees it."""
        with self._figures:
            self._added[tenant] += tokens

    def check(self, tenant: UUID) -> None:
        """Raises ``TooBusy`` if the tokens of this tenant, or of all tenants, have reached their limit."""
        self._require("your jobs have", self.tokens_of(tenant))
        self._require("all jobs together have", self.tokens_of_all())

    def tokens_of(self, tenant: UUID) -> Filling:
        """The tokens of this tenant."""
        with self._figures:
            own = self._measured.get(tenant, _NOTHING)
            return Filling(own.tokens + self._added[tenant], self._token_limit(own))

    def tokens_of_all(self) -> Filling:
        with self._figures:
            return Filling(self._total(), self._settings.max_pending_tokens)

    def full_of_tokens(self) -> dict[UUID, Filling]:
        """The tenants that have reached their limit of tokens, other than those that may have none at all."""
        with self._figures:
            found = {
                tenant: Filling(own.tokens + self._added[tenant], self._token_limit(own))
                for tenant, own in self._measured.items()
            }
        return {tenant: each for tenant, each in found.items() if each.is_full and each.limit}

    def full_of_jobs(self) -> dict[UUID, Filling]:
        """The tenants that had as many open jobs as they may have when the backlog was last measured."""
        default = self._settings.max_open_jobs
        found = {tenant: (own.jobs, tenants.in_force(own.max_jobs, default)) for tenant, own in self._measured.items()}
        return {tenant: Filling(n, limit) for tenant, (n, limit) in found.items() if limit is not None and n >= limit}

    def _token_limit(self, own: PendingWork) -> int:
        return tenants.in_force(own.max_tokens, self._settings.max_tenant_pending_tokens)

    def _total(self) -> int:
        return sum(each.tokens for each in self._measured.values()) + self._added.total()

    def _require(self, whose: str, tokens: Filling) -> None:
        if not tokens.is_full:
            return
        shortest, longest = _WAIT_SECONDS
        seconds = (tokens.used - tokens.limit) / self._rate if self._rate > 0 else 0
        wait = math.ceil(min(max(seconds, shortest), longest))
        raise TooBusy(f"{whose} {tokens.limit} or more tokens waiting, which is the limit", retry_after=wait)
