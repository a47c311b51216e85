"""Which pool this worker claims from: the most urgent one; pools of equal urgency alternate.

Pools of loaded models come before the others. A bell names a pool, but the worker that hears it serves all pools,
because the bells of other pools wait behind its slice of time.
"""

import time

from lengthwise import database, settings
from lengthwise.kinds import pool as pools
from lengthwise.ledger.queue import sweep
from worker.generation.models import LoadedModels

#: How often a busy worker looks for another pool that should come first.
_LOOK_SECONDS = 0.05


class PoolRotation:
    """The pools of one bell's task: begins with the bell's pool, and lasts for a slice of time."""

    def __init__(self, pool: str, models: LoadedModels) -> None:
        now = time.monotonic()
        self.pool, self._models = pool, models
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
        self.pool = min(ready, key=lambda pool: ready[pool])
        self._began_at = time.monotonic()
        return self.pool

    def _change(self, now: float) -> None:
        waiting = self._waiting()
        mine = waiting.get(self.pool)
        is_over = now - self._began_at >= settings.get().turn_seconds
        after = [pool for pool in waiting if pool > self.pool] + [pool for pool in waiting if pool < self.pool]
        for pool in after:
            is_urgent = mine is None or waiting[pool] < mine
            is_next = is_over and waiting[pool] == mine
            if self._is_loaded(pool) and (is_urgent or is_next):
                self.pool, self._began_at = pool, now
                return

    def _waiting(self) -> dict[str, int]:
        """The pools with claimable shards, and their priority; the lowest number is the most urgent."""
        with database.translated(), database.engine().asking() as connection:
            waiting = sweep.find_waiting_pools(connection)
        self._suspects = {pool.name for pool in waiting if pool.is_suspect}
        return {pool.name: pool.priority for pool in waiting}

    def _is_loaded(self, pool: str) -> bool:
        return self._models.is_loaded(pools.model_of(pool))
