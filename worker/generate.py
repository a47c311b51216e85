"""Drains a pool: claim, plan, generate, settle, for a slice of time; the engine stays loaded in the process."""

import logging
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

from lengthwise import database, queue, settings
from lengthwise.errors import ConfigurationError, Unavailable
from lengthwise.ledger.claim import Claim, claim, delay, release
from lengthwise.ledger.settle import Settlement, settle
from worker import drain, loaded
from worker.engine.protocol import Engine, EngineError, OutOfMemoryError
from worker.lease import Lease
from worker.loaded import Loaded
from worker.plan import plan
from worker.work import Work, refuse

log = logging.getLogger(__name__)


def generate(pool: str) -> None:
    """The bell's task: works on ``pool`` until it is empty or the slice is over, then rings for the rest."""
    ends_at = time.monotonic() + settings.get().slice_seconds
    try:
        while not drain.is_stopping():
            claimed = _claim(pool)
            if claimed is None:
                return
            _run(claimed)
            if time.monotonic() >= ends_at:
                break
    except Unavailable as error:
        log.warning("leaving the pool until the sweep rings: %s", error)
        return
    queue.ring(queue.GENERATE, [pool])


def _claim(pool: str) -> Claim | None:
    current = settings.get()
    spec = loaded.spec(pool.partition(":")[0])
    batches = current.claim_batches
    with database.translated(), database.engine().begin() as connection:
        return claim(
            connection,
            pool,
            uuid4(),
            tokens=batches * (spec.batch_tokens if spec else current.shard_items),
            shards=max(1, batches * (spec.batch_rows if spec else 1) // current.shard_items),
            lease_seconds=current.lease_seconds,
        )


def _run(claimed: Claim) -> None:
    current = settings.get()
    lease = Lease(
        claimed.token,
        claimed.shard_ids,
        lease_seconds=current.lease_seconds,
        heartbeat_seconds=current.heartbeat_seconds,
    )
    with lease:
        try:
            model = loaded.model(next(iter(claimed.jobs.values())).model)
        except (ConfigurationError, EngineError) as error:
            log.error("model not loaded: %s", error)
            _put_off(claimed, "model_unavailable")
            return
        work = Work(claimed, model.model, model.capabilities.labels)
        _generate(work, model, lease)
        if work.open_shards:
            _release(claimed.token, work.open_shards)


def _generate(work: Work, model: Loaded, lease: Lease) -> None:
    """Runs every piece, those that a retry adds too, and settles each shard with its last item."""
    done = 0
    _settle(lease.token, work.whole())
    while done < len(work.pieces):
        indexes = range(done, len(work.pieces))
        done = len(work.pieces)
        lengths = [len(work.pieces[index].prompt.tokens) for index in indexes]
        for batch in plan(lengths, model.spec.batch_tokens, model.spec.batch_rows):
            if drain.is_stopping():
                return
            held = [indexes[at] for at in batch if lease.holds(work.shard_of(indexes[at]))]
            if held:
                _batch(work, model.engine, held)
                _settle(lease.token, work.whole())


def _batch(work: Work, engine: Engine, batch: Sequence[int]) -> None:
    """Runs one batch; one that fails is halved until the item that is to blame stands alone."""
    answered: set[int] = set()
    work.charge(batch)
    try:
        for completion in engine.generate([work.request(index) for index in batch]):
            answered.add(completion.id)
            work.answer(completion)
    except EngineError as error:
        rest = [index for index in batch if index not in answered]
        if len(rest) == 1:
            work.fail(rest[0], "out_of_memory" if isinstance(error, OutOfMemoryError) else "engine_error")
        log.warning("batch of %d failed (%s), %d to run again", len(batch), type(error).__name__, len(rest))
        if len(rest) > 1:
            for half in (rest[: len(rest) // 2], rest[len(rest) // 2 :]):
                _batch(work, engine, half)


def _settle(token: UUID, settlements: Sequence[Settlement]) -> None:
    """Settles while the lease may live; a settlement that the database refused for so long is some other worker's now."""
    if not settlements:
        return
    gives_up_at = time.monotonic() + settings.get().lease_seconds
    while True:
        try:
            with database.translated(), database.engine().begin() as connection:
                settled = settle(connection, token, settlements)
            break
        except Unavailable:
            if time.monotonic() >= gives_up_at:
                raise
            time.sleep(0.5)
    if lost := len(settlements) - len(settled.shard_ids):
        log.warning("%d shards were no longer ours: their results were not written", lost)
    if settled.delivery_due:
        queue.ring(queue.DELIVER)


def _put_off(claimed: Claim, code: str) -> None:
    """Tries again later, each time later still; at the last attempt the items end as errors."""
    current = settings.get()
    exhausted = [shard for shard, attempts in claimed.attempts.items() if attempts >= current.max_attempts]
    _settle(claimed.token, [done for done in refuse(claimed, code) if done.shard_id in exhausted])
    waiting = [shard for shard in claimed.attempts if shard not in exhausted]
    longest = max((claimed.attempts[shard] for shard in waiting), default=0)
    with database.translated(), database.engine().begin() as connection:
        delay(connection, claimed.token, waiting, seconds=min(2.0**longest, 60))


def _release(token: UUID, shard_ids: Sequence[int]) -> None:
    with database.translated(), database.engine().begin() as connection:
        release(connection, token, shard_ids)
