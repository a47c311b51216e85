"""Claims work for this process's engines and prepares it: renews its lease, loads its model, makes its requests."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid4

from lengthwise import database, settings
from lengthwise.kinds import pool as pools
from lengthwise.ledger.queue import lease as leases
from lengthwise.ledger.queue.claim import Claim, ClaimLimits, claim, has_interactive_work, top_up
from lengthwise.models.catalog import ModelSpec
from lengthwise.states import Priority
from worker.generation import settlement
from worker.generation.lease import Lease
from worker.generation.models import LoadedModel, LoadedModels, NotLoaded
from worker.generation.pool_rotation import PoolRotation
from worker.generation.work import Work, refuse
from worker.shutdown import Shutdown

#: The longest pause after a failure that may pass.
_MAX_DELAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class PreparedClaim:
    """A claim that is ready to run, and whose lease is being renewed."""

    pool: str
    claim: Claim
    lease: Lease
    model: LoadedModel
    work: Work
    #: By the monotonic clock.
    claimed_at: float

    def add(self, more: Claim) -> None:
        """Adds what its token has claimed since."""
        self.claim.shards.update(more.shards)
        self.lease.add(more.shards)
        self.work.add(more)

    @property
    def is_urgent(self) -> bool:
        """Whether somebody waits for a shard of it that is not whole yet."""
        return any(self.claim.shards[shard_id].is_interactive for shard_id in self.work.open_shards)

    @property
    def is_suspect(self) -> bool:
        """Whether a worker died over it. It runs alone, so that nothing else is blamed if this worker dies as well."""
        return any(shard.deaths > 1 for shard in self.claim.shards.values())


class Claimer:
    """Claims for the models of this process, until it shuts down."""

    def __init__(self, models: LoadedModels, shutdown: Shutdown) -> None:
        self._models, self._shutdown = models, shutdown

    def prepare(self, rotation: PoolRotation, *, with_suspects: bool = True) -> PreparedClaim | None:
        """Claims from the pool whose turn it is, and from the others once it is empty; None if nothing waits anywhere.

        Without suspects it returns None as soon as that pool holds nothing else, or a suspect is first in it: a suspect
        must not wait for ever behind work that came later. Raises ``Unavailable``.
        """
        while not self._shutdown.is_begun:
            pool = rotation.next()
            if not with_suspects and rotation.is_suspect:
                return None
            claimed = self.claim(pool, with_suspects=with_suspects)
            if claimed is None:
                # Skipping suspects, it would go round in circles among pools that hold nothing else.
                if not with_suspects or rotation.leave() is None:
                    return None
                continue
            prepared = self._made_ready(pool, claimed)
            if prepared is not None:
                return prepared
        return None

    def prepare_urgent(self, pool: str) -> PreparedClaim | None:
        """Claims a batch from the pool if somebody waits for the first shard in it. Raises ``Unavailable``."""
        if self._shutdown.is_begun or not _is_waited_for(pool):
            return None
        claimed = self.claim(pool, with_suspects=False, least=Priority.INTERACTIVE)
        return None if claimed is None else self._made_ready(pool, claimed)

    def claim_more(self, prepared: PreparedClaim) -> bool:
        """Claims another batch from the same pool under the same token; False if nothing waits.

        Raises ``Unavailable``.
        """
        limits = _limits(prepared.model.spec, 1)
        more = _taken(prepared.pool, prepared.claim.token, limits, with_suspects=False)
        if more is not None:
            prepared.add(more)
        return more is not None

    def claim(self, pool: str, *, with_suspects: bool, least: Priority = Priority.BACKGROUND) -> Claim | None:
        """Claims some batches from the pool, of priority ``least`` or more urgent. Raises ``Unavailable``."""
        current = settings.get()
        name = pools.model_of(pool)
        limits = _limits(self._models.spec(name), self._models.batches_in(name, current.claim_seconds))
        token = uuid4()
        claimed = _taken(pool, token, limits, with_suspects=with_suspects, least=least)
        is_thin = claimed is not None and limits.missing(claimed.shards.values()) is not None
        if claimed is None or not is_thin or not current.linger_seconds or _is_urgent(claimed):
            return claimed
        time.sleep(current.linger_seconds)
        with database.translated(), database.engine().begin() as connection:
            return top_up(connection, pool, claimed, limits, lease_seconds=current.lease_seconds)

    def _made_ready(self, pool: str, claimed: Claim) -> PreparedClaim | None:
        """Returns None if the model cannot run now; the claim is then given back for later."""
        claimed_at = time.monotonic()
        lease = Lease(claimed.token, claimed.shards, self._shutdown)
        lease.start()
        try:
            model = self._models.get(pools.model_of(pool))
            if pause := model.pause_seconds:
                lease.stop()
                _delay(claimed.token, claimed.shards, pause)
                return None
            work = Work(claimed, model.model, model.capabilities.labels, model.answers)
        except NotLoaded:
            lease.stop()
            _put_off(claimed, "model_unavailable")
            return None
        except BaseException:
            lease.stop()
            raise
        return PreparedClaim(pool, claimed, lease, model, work, claimed_at)


def _is_waited_for(pool: str) -> bool:
    """Asks without a transaction, which would take longer than the query."""
    with database.translated(), database.engine().connect() as connection:
        return has_interactive_work(connection.execution_options(isolation_level="AUTOCOMMIT"), pool)


def _taken(
    pool: str, token: UUID, limits: ClaimLimits, *, with_suspects: bool, least: Priority = Priority.BACKGROUND
) -> Claim | None:
    seconds = settings.get().lease_seconds
    with database.translated(), database.engine().begin() as connection:
        return claim(connection, pool, token, limits, lease_seconds=seconds, with_suspects=with_suspects, least=least)


def _limits(spec: ModelSpec | None, batches: int) -> ClaimLimits:
    """So many batches' worth of tokens and of rows, whichever limit is reached first."""
    current = settings.get()
    # A model that is not named here cannot run: its shards are only put off.
    tokens, rows = (spec.batch_tokens, spec.batch_rows) if spec else (current.chunk_items, current.shard_items)
    batches = min(batches, current.claim_batches)
    return ClaimLimits(tokens=batches * tokens, items=batches * rows, batch_items=rows)


def _is_urgent(claimed: Claim) -> bool:
    return any(shard.is_interactive for shard in claimed.shards.values())


def _put_off(claimed: Claim, code: str) -> None:
    """Puts the shards off, each time for longer; after the last attempt their items end as errors."""
    last = settings.get().max_attempts - 1
    exhausted = {shard.id for shard in claimed.shards.values() if shard.attempts >= last}
    settlement.put(claimed.token, [done for done in refuse(claimed, code) if done.shard_id in exhausted])
    waiting = [shard for shard in claimed.shards.values() if shard.id not in exhausted]
    if waiting:
        seconds = min(2.0 ** (1 + max(shard.attempts for shard in waiting)), _MAX_DELAY_SECONDS)
        _delay(claimed.token, [shard.id for shard in waiting], seconds, counted=True)


def _delay(token: UUID, shard_ids: Iterable[int], seconds: float, *, counted: bool = False) -> None:
    with database.translated(), database.engine().begin() as connection:
        leases.delay(connection, token, shard_ids, seconds, counted=counted)


def give_back(prepared: PreparedClaim) -> None:
    """Releases all shards that have not been settled, without counting an attempt, and stops renewing the lease.

    They can be claimed again at once, or after the pause of a model whose engine is unavailable. If the database is
    away they can be claimed once the lease has expired.
    """
    try:
        shard_ids = prepared.work.open_shards
        if shard_ids and (pause := prepared.model.pause_seconds):
            _delay(prepared.claim.token, shard_ids, pause)
        elif shard_ids:
            with database.translated(), database.engine().begin() as connection:
                leases.release(connection, prepared.claim.token, shard_ids)
    finally:
        prepared.lease.stop()
