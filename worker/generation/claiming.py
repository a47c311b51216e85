"""Claims work for this process's engine, and makes it ready to run: the tokens, the limits, the lease."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid4

from lengthwise import database, settings
from lengthwise.kinds import pool as pools
from lengthwise.ledger.queue import lease as leases
from lengthwise.ledger.queue.claim import Claim, Limits, claim, is_waited_for, top_up
from lengthwise.models.catalog import ModelSpec
from lengthwise.states import Priority
from worker import shutdown
from worker.generation import models, settlement
from worker.generation.lease import Lease
from worker.generation.models import LoadedModel, NotLoaded
from worker.generation.pool_rotation import PoolRotation
from worker.generation.work import Work, refuse

#: The longest pause after a failure that time may heal.
_MAX_DELAY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class PreparedClaim:
    """A claim that can run at once. Its lease is being renewed."""

    pool: str
    claim: Claim
    lease: Lease
    model: LoadedModel
    work: Work
    #: By the monotonic clock.
    claimed_at: float

    def add(self, more: Claim) -> None:
        """Takes in what its token has claimed since."""
        self.claim.shards.update(more.shards)
        self.lease.add(more.shards)
        self.work.add(more)

    @property
    def is_urgent(self) -> bool:
        """Whether somebody waits for something of it that is not whole yet."""
        return any(self.claim.shards[shard_id].is_interactive for shard_id in self.work.open_shards)

    @property
    def is_suspect(self) -> bool:
        """A worker died over it: should this one die too, nothing else may be in hand to be blamed for it."""
        return any(shard.deaths > 1 for shard in self.claim.shards.values())


def prepare(turn: PoolRotation, *, with_suspects: bool = True) -> PreparedClaim | None:
    """Claims from the pool whose turn it is, and from the others once it is empty; None when nothing waits anywhere.

    Without suspects, None as soon as that pool has nothing else, or a suspect first: it must not wait for ever behind
    what comes after it. Raises ``Unavailable``.
    """
    while not shutdown.is_stopping():
        pool = turn.next()
        if not with_suspects and turn.is_suspect:
            return None
        claimed = _claim(pool, with_suspects=with_suspects)
        if claimed is None:
            # Who passes suspects over would go in circles among pools where nothing else waits.
            if not with_suspects or turn.leave() is None:
                return None
            continue
        prepared = _made_ready(pool, claimed)
        if prepared is not None:
            return prepared
    return None


def prepare_urgent(pool: str) -> PreparedClaim | None:
    """Claims a batch from the pool if somebody waits for what is first in it. Raises ``Unavailable``."""
    if shutdown.is_stopping() or not _is_waited_for(pool):
        return None
    claimed = _claim(pool, with_suspects=False, least=Priority.INTERACTIVE)
    return None if claimed is None else _made_ready(pool, claimed)


def claim_more(prepared: PreparedClaim) -> bool:
    """Claims another batch of its pool beside what is in hand; False if nothing waits. Raises ``Unavailable``."""
    limits = _limits(prepared.model.spec, 1)
    more = _taken(prepared.pool, prepared.claim.token, limits, with_suspects=False)
    if more is not None:
        prepared.add(more)
    return more is not None


def _is_waited_for(pool: str) -> bool:
    """Asked without a transaction, which would take longer than the question."""
    with database.translated(), database.engine().connect() as connection:
        return is_waited_for(connection.execution_options(isolation_level="AUTOCOMMIT"), pool)


def _made_ready(pool: str, claimed: Claim) -> PreparedClaim | None:
    """None if its model cannot run now: the claim is given back then, for later."""
    claimed_at = time.monotonic()
    lease = Lease(claimed.token, claimed.shards)
    lease.start()
    try:
        model = models.model(pools.model_of(pool))
        if pause := model.pause_seconds:
            lease.stop()
            _delay(claimed.token, claimed.shards, pause)
            return None
        work = Work(claimed, model.model, model.capabilities.labels, model.memo)
    except NotLoaded:
        lease.stop()
        _put_off(claimed, "model_unavailable")
        return None
    except BaseException:
        lease.stop()
        raise
    return PreparedClaim(pool, claimed, lease, model, work, claimed_at)


def _claim(pool: str, *, with_suspects: bool, least: Priority = Priority.BACKGROUND) -> Claim | None:
    current = settings.get()
    name = pools.model_of(pool)
    limits = _limits(models.spec(name), models.batches_in(name, current.claim_seconds))
    token = uuid4()
    claimed = _taken(pool, token, limits, with_suspects=with_suspects, least=least)
    is_thin = claimed is not None and limits.missing(claimed.shards.values()) is not None
    if claimed is None or not is_thin or not current.linger_seconds or _is_urgent(claimed):
        return claimed
    time.sleep(current.linger_seconds)
    with database.translated(), database.engine().begin() as connection:
        return top_up(connection, pool, claimed, limits, lease_seconds=current.lease_seconds)


def _taken(
    pool: str, token: UUID, limits: Limits, *, with_suspects: bool, least: Priority = Priority.BACKGROUND
) -> Claim | None:
    seconds = settings.get().lease_seconds
    with database.translated(), database.engine().begin() as connection:
        return claim(connection, pool, token, limits, lease_seconds=seconds, with_suspects=with_suspects, least=least)


def _limits(spec: ModelSpec | None, batches: int) -> Limits:
    """Some batches' worth, in tokens and in rows: whichever of the two limits these lengths' batches."""
    current = settings.get()
    # Of a model that is not named here nothing will run: shards are only put off.
    tokens, rows = (spec.batch_tokens, spec.batch_rows) if spec else (current.chunk_items, current.shard_items)
    batches = min(batches, current.claim_batches)
    return Limits(tokens=batches * tokens, items=batches * rows, thin=rows)


def _is_urgent(claimed: Claim) -> bool:
    return any(shard.is_interactive for shard in claimed.shards.values())


def _put_off(claimed: Claim, code: str) -> None:
    """Tries again later, each time later still; at the last attempt the items end as errors."""
    most = settings.get().max_attempts - 1
    exhausted = {shard.id for shard in claimed.shards.values() if shard.attempts >= most}
    settlement.put(claimed.token, [done for done in refuse(claimed, code) if done.shard_id in exhausted])
    waiting = [shard for shard in claimed.shards.values() if shard.id not in exhausted]
    if waiting:
        seconds = min(2.0 ** (1 + max(shard.attempts for shard in waiting)), _MAX_DELAY_SECONDS)
        _delay(claimed.token, [shard.id for shard in waiting], seconds, counted=True)


def _delay(token: UUID, shard_ids: Iterable[int], seconds: float, *, counted: bool = False) -> None:
    with database.translated(), database.engine().begin() as connection:
        leases.delay(connection, token, shard_ids, seconds, counted=counted)


def give_back(prepared: PreparedClaim) -> None:
    """Releases what has not been settled, uncharged, and ends the lease: by its time, if the database is away.

    It is claimable at once, or after the pause of a model whose engine is unavailable.
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
