"""Which pool this worker turns to: the most urgent, then each in its turn; a model that must be loaded waits longer.

A bell names a pool, but whoever heard it works for all of them: another pool's bell would wait behind this one's slice.
"""

import time

from lengthwise import database, settings
from lengthwise.kinds import pool as pools
from lengthwise.ledger.queue import sweep
from worker.generation import models

#: How often a worker that has enough to do looks for something more urgent.
_LOOK_SECONDS = 0.05


class PoolRotation:
    """One bell's task: begins with its pool, for as long as a slice lasts."""

    def __init__(self, pool: str) -> None:
        now = time.monotonic()
        self.pool = pool
        self._ends_at = now + settings.get().slice_seconds
        self._began_at = self._looked_at = now
        self._suspects: set[str] = set()

    @property
    def is_suspect(self) -> bool:
        """Whether a worker died over what is first in this pool, as far as is known."""
        return self.pool in self._suspects

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends_at

    def next(self) -> str:
        """The pool to claim from now."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._change(now)
        return self.pool

    def leave(self) -> str | None:
        """Another pool that waits, once this one is empty; None if there is none."""
        others = self._waiting()
        others.pop(self.pool, None)
        ready = {pool: priority for pool, priority in others.items() if _is_loaded(pool)} or others
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
            if _is_loaded(pool) and (is_urgent or is_next):
                self.pool, self._began_at = pool, now
                return

    def _waiting(self) -> dict[str, int]:
        """The pools with work that may be claimed now, and how urgent that is; the lowest is the most urgent."""
        with database.translated(), database.engine().begin() as connection:
            waiting = sweep.waiting_pools(connection)
        self._suspects = {pool.name for pool in waiting if pool.is_suspect}
        return {pool.name: pool.priority for pool in waiting}


def _is_loaded(pool: str) -> bool:
    return models.is_loaded(pools.model_of(pool))
