"""Which pool this worker claims from: the most urgent one; pools of equal urgency alternate.

Among equally urgent pools, those of loaded models come before the others, but only for a slice of time. A bell names a
pool, but the worker that hears it serves all pools, because the bells of other pools wait behind its slice of time.
"""

import math
import time
from collections.abc import Iterable

from lengthwise import database, settings
from lengthwise.kinds import pool as pools
from lengthwise.ledger.queue import sweep
from worker.generation.models import LoadedModels

#: How often a busy worker looks for another pool that should come first.
_LOOK_SECONDS = 0.05
#: After a model was loaded for a pool that had waited, no other pool is taken in this way for so many times as long.
_LOADING_FACTOR = 4


class PassedOver:
    """Since when pools wait while this process serves others. It outlives the tasks of all bells.

    Without it, a pool whose model is not loaded would wait for as long as those of loaded models have work: its bells
    are behind theirs.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._taken_at: float | None = None
        self._next_at = -math.inf

    def note(self, waiting: Iterable[str], served: str, now: float) -> None:
        """Notes the pools that wait, of which one is served. The model of the one that was taken is loaded by now."""
        self._since = {pool: self._since.get(pool, now) for pool in waiting if pool != served}
        if self._taken_at is not None:
            took = now - self._taken_at
            self._taken_at, self._next_at = None, now + max(settings.get().slice_seconds, _LOADING_FACTOR * took)

    def take(self, pools: Iterable[str], now: float) -> str | None:
        """The pool that has waited longest, if that is a slice of time; None if the last one was taken just now."""
        slice_seconds = settings.get().slice_seconds
        overdue = [pool for pool in pools if now - self._since.get(pool, now) >= slice_seconds]
        if not overdue or now < self._next_at:
            return None
        self._taken_at = now
        return min(overdue, key=self._since.__getitem__)


class PoolRotation:
    """The pools of one bell's task: begins with the bell's pool, and lasts for a slice of time."""

    def __init__(self, pool: str, models: LoadedModels, passed_over: PassedOver) -> None:
        now = time.monotonic()
        self.pool, self._models, self._passed_over = pool, models, passed_over
        self._ends_at = now + settings.get().slice_seconds
        self._began_at = self._looked_at = now
        self._suspects: set[str] = set()

    @property
    def is_suspect(self) -> bool:
        """Whether the first shard of this pool was a suspect when the worker last looked."""
        return self.pool in self._suspects

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends_at

    def next(self) -> str:
        """Returns the pool to claim from now. Raises ``Unavailable``."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._change(now)
        return self.pool

    def leave(self) -> str | None:
        """Changes to another pool once this one is empty; None if nothing waits. Raises ``Unavailable``."""
        others = self._waiting()
        others.pop(self.pool, None)
        ready = {pool: priority for pool, priority in others.items() if self._is_loaded(pool)} or others
        if not ready:
            return None
        first = min(ready, key=lambda pool: ready[pool])
        now = time.monotonic()
        self._passed_over.note(others, first, now)
        is_first = ready[first] == min(others.values())
        self.pool, self._began_at = (is_first and self._overdue(others, now)) or first, now
        return self.pool

    def _change(self, now: float) -> None:
        waiting = self._waiting()
        mine = waiting.get(self.pool)
        is_over = now - self._began_at >= settings.get().turn_seconds
        self._passed_over.note(waiting, self.pool, now)
        is_first = mine is not None and mine == min(waiting.values())
        if is_over and is_first and (overdue := self._overdue(waiting, now)):
            self.pool, self._began_at = overdue, now
            return
        after = [pool for pool in waiting if pool > self.pool] + [pool for pool in waiting if pool < self.pool]
        for pool in after:
            is_urgent = mine is None or waiting[pool] < mine
            is_next = is_over and waiting[pool] == mine
            # Somebody waits for an urgent answer, and the bell of its pool waits for this slice to end. Loading a model
            # takes long, so it is done once a turn at most.
            if (is_urgent and is_over) or (self._is_loaded(pool) and (is_urgent or is_next)):
                self.pool, self._began_at = pool, now
                return

    def _overdue(self, waiting: dict[str, int], now: float) -> str | None:
        """The pool whose turn it is, although its model is not loaded. It is of the most urgent that wait."""
        urgent = min(waiting.values())
        return self._passed_over.take(
            (pool for pool, priority in waiting.items() if priority == urgent and not self._is_loaded(pool)), now
        )

    def _waiting(self) -> dict[str, int]:
        """The pools with claimable shards, and their priority; the lowest number is the most urgent."""
        with database.translated(), database.engine().asking() as connection:
            waiting = sweep.find_waiting_pools(connection)
        self._suspects = {pool.name for pool in waiting if pool.is_suspect}
        return {pool.name: pool.priority for pool in waiting}

    def _is_loaded(self, pool: str) -> bool:
        return self._models.is_loaded(pools.model_of(pool))
