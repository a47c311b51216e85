"""How much waits or runs, by figures that cost next to nothing, and whether that is too much.

The figures are sums over the open shards, measured by each API process for itself, at most once a second and for at
most a twentieth of the time, plus what the process took since. They are not exact, nor need they be: what other
processes took since, and whatever is being taken at this moment, is not in them, so that a limit may be overrun by as
much as arrives within a second or, with millions of shards waiting, within some; and a job that comes while there is
room is taken whole.
"""

import math
import time
from collections import Counter
from threading import Lock
from uuid import UUID

from lengthwise.database import Database, translated
from lengthwise.errors import TooBusy
from lengthwise.ledger.queue import pending
from lengthwise.ledger.queue.pending import Pending
from lengthwise.settings import Settings

#: Between two measurements: a second, or so many times what the last one took.
_PAUSE_SECONDS = 1.0
_PAUSE_FACTOR = 20
#: What a refused caller is told to wait: as long as the excess should take at the rate seen last, within these bounds;
#: the first of them while none was seen.
_WAIT_SECONDS = (5, 300)


class Backlog:
    """What waits or runs, in tokens, as this process knows it. Threads share it."""

    def __init__(self, database: Database, current: Settings) -> None:
        self._database = database
        self._settings = current
        self._measured: dict[UUID, Pending] = {}
        self._added: Counter[UUID] = Counter()
        self._rate = 0.0  # tokens settled a second
        self._measured_at = -math.inf
        self._due_at = -math.inf
        self._measuring = Lock()
        self._figures = Lock()

    @property
    def is_due(self) -> bool:
        """Whether the figures are to be measured again."""
        return time.monotonic() >= self._due_at

    def measure(self) -> None:
        """Measures if that is due; while another thread does, the last figures stand. Raises ``Unavailable``."""
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
            seen = Counter(self._added)  # committed by now: the sums will have it
        started = time.monotonic()
        with translated(), self._database.begin() as connection:
            measured = pending.by_tenant(connection)
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
        """Raises ``TooBusy`` while as much waits as may wait, in all or of this tenant."""
        with self._figures:
            own = self._measured.get(tenant, Pending(0, None))
            limit = self._settings.max_tenant_pending_tokens if own.limit is None else own.limit
            self._require("your jobs have", own.tokens + self._added[tenant], limit)
            self._require("all jobs together have", self._total(), self._settings.max_pending_tokens)

    def _total(self) -> int:
        return sum(each.tokens for each in self._measured.values()) + self._added.total()

    def _require(self, whose: str, tokens: int, limit: int) -> None:
        if tokens < limit:
            return
        least, most = _WAIT_SECONDS
        seconds = (tokens - limit) / self._rate if self._rate > 0 else 0
        wait = math.ceil(min(max(seconds, least), most))
        raise TooBusy(f"{whose} {limit} or more tokens waiting, which is the limit", retry_after=wait)
