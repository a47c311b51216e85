"""Drains pools: claim, plan, generate, settle, for a slice of time; the engine stays loaded in the process."""

import logging
import time
from collections.abc import Iterable
from uuid import uuid4

from lengthwise import database, queue, settings
from lengthwise.catalog import ModelSpec
from lengthwise.errors import Unavailable
from lengthwise.ledger import lease as leases
from lengthwise.ledger.claim import Claim, Limits, claim, top_up
from lengthwise.states import Priority
from worker import batch, drain, loaded, settlement
from worker.lease import Lease
from worker.loaded import Loaded, NotLoaded
from worker.memo import Memo
from worker.plan import plan
from worker.turn import Turn
from worker.work import Work, refuse

log = logging.getLogger(__name__)

#: Batches that are quicker than this are settled together: a settlement costs some round trips.
_SETTLE_SECONDS = 0.02
#: The longest pause after a failure that time may heal.
_MAX_DELAY_SECONDS = 60

_memo = Memo()


def generate(pool: str) -> None:
    """The bell's task: works on ``pool``, and on what is more urgent, until nothing waits or the slice is over."""
    turn = Turn(pool)
    try:
        while not drain.is_stopping():
            if not _step(turn):
                return
            if turn.is_over:
                break
    except Unavailable as error:
        log.warning("leaving the pool until the sweep rings: %s", error)
        return
    queue.ring(queue.GENERATE, [turn.pool])


def _step(turn: Turn) -> bool:
    """Claims and runs once. False when no pool has anything."""
    pool = turn.next()
    claimed = _claim(pool)
    if claimed is not None:
        _run(pool, claimed)
        return True
    return turn.leave() is not None


def _claim(pool: str) -> Claim | None:
    current = settings.get()
    name = pool.partition(":")[0]
    limits = _limits(loaded.spec(name), loaded.batches_in(name, current.claim_seconds))
    token = uuid4()
    with database.translated(), database.engine().begin() as connection:
        claimed = claim(connection, pool, token, limits, lease_seconds=current.lease_seconds)
    if claimed is None or not current.linger_seconds or not _may_linger(claimed, limits):
        return claimed
    time.sleep(current.linger_seconds)
    with database.translated(), database.engine().begin() as connection:
        return top_up(connection, pool, claimed, limits, lease_seconds=current.lease_seconds)


def _limits(spec: ModelSpec | None, batches: int) -> Limits:
    """Some batches' worth, in tokens and in rows: whichever of the two limits these lengths' batches."""
    current = settings.get()
    # Of a model that is not named here nothing will run: shards are only put off.
    tokens, rows = (spec.batch_tokens, spec.batch_rows) if spec else (current.chunk_items, current.shard_items)
    batches = min(batches, current.claim_batches)
    return Limits(tokens=batches * tokens, items=batches * rows, thin=rows)


def _may_linger(claimed: Claim, limits: Limits) -> bool:
    urgent = any(shard.priority == Priority.INTERACTIVE for shard in claimed.shards.values())
    return not urgent and limits.missing(claimed.shards.values()) is not None


def _run(pool: str, claimed: Claim) -> None:
    with Lease(claimed.token, claimed.shards) as lease:
        try:
            model = loaded.model(next(iter(claimed.jobs.values())).model)
        except NotLoaded:
            _put_off(claimed, "model_unavailable")
            return
        work = Work(claimed, model.model, model.capabilities.labels, _memo, pool)
        _generate(work, model, lease)
        settlement.put(claimed.token, work.whole())
        if work.open_shards:
            _release(claimed, work.open_shards)


def _generate(work: Work, model: Loaded, lease: Lease) -> None:
    """Runs every piece, those that a retry adds too, and settles each shard with its last item."""
    done = 0
    settled_at = time.monotonic()
    model.grow()
    while done < len(work.pieces):
        indexes = range(done, len(work.pieces))
        done = len(work.pieces)
        batches = plan(work.lengths(indexes), model.batch_tokens, model.spec.batch_rows)
        # A claim's items come with the most urgent first: their batch does not wait for longer ones.
        for planned in sorted(batches, key=min):
            if drain.is_stopping():
                return
            lease.check()
            held = [indexes[at] for at in planned if lease.holds(work.shard_of(indexes[at]))]
            if held:
                began_at = time.monotonic()
                batch.run(work, model, held)
                model.took(time.monotonic() - began_at)
            if time.monotonic() - settled_at > _SETTLE_SECONDS:
                settlement.put(lease.token, work.whole())
                settled_at = time.monotonic()


def _put_off(claimed: Claim, code: str) -> None:
    """Tries again later, each time later still; at the last attempt the items end as errors."""
    most = settings.get().max_attempts - 1
    exhausted = {shard.id for shard in claimed.shards.values() if shard.attempts >= most}
    settlement.put(claimed.token, [done for done in refuse(claimed, code) if done.shard_id in exhausted])
    waiting = [shard for shard in claimed.shards.values() if shard.id not in exhausted]
    if waiting:
        seconds = min(2.0 ** (1 + max(shard.attempts for shard in waiting)), _MAX_DELAY_SECONDS)
        with database.translated(), database.engine().begin() as connection:
            leases.delay(connection, claimed.token, [shard.id for shard in waiting], seconds)


def _release(claimed: Claim, shard_ids: Iterable[int]) -> None:
    with database.translated(), database.engine().begin() as connection:
        leases.release(connection, claimed.token, shard_ids)
