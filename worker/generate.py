"""Drains a pool: claim, plan, generate, settle, for a slice of time; the engine stays loaded in the process."""

import logging
import time
from collections.abc import Sequence
from uuid import UUID, uuid4

from lengthwise import database, queue, settings
from lengthwise.errors import Unavailable
from lengthwise.ledger.claim import Claim, claim, delay, release
from lengthwise.ledger.settle import Settlement, settle
from worker import drain, loaded
from worker.engine.protocol import Completion, Engine, EngineError, OutOfMemoryError
from worker.lease import Lease
from worker.loaded import Loaded, NotLoaded
from worker.plan import plan
from worker.work import Work, refuse

log = logging.getLogger(__name__)

#: Batches that are quicker than this are settled together: a settlement costs five round trips.
_SETTLE_SECONDS = 0.02
#: Between two tries of a settlement that the database could not take.
_RETRY_SECONDS = 0.5


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
    """Claims some batches' worth, in tokens and in rows: whichever of the two limits these lengths' batches."""
    current = settings.get()
    spec = loaded.spec(pool.partition(":")[0])
    # Of a model that is not named here nothing will run: shards are only put off.
    tokens, rows = (spec.batch_tokens, spec.batch_rows) if spec else (current.chunk_items, current.shard_items)
    with database.translated(), database.engine().begin() as connection:
        return claim(
            connection,
            pool,
            uuid4(),
            tokens=current.claim_batches * tokens,
            items=current.claim_batches * rows,
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
        except NotLoaded:
            _put_off(claimed, "model_unavailable")
            return
        work = Work(claimed, model.model, model.capabilities.labels)
        _generate(work, model, lease)
        _settle(claimed.token, work.whole())
        if work.open_shards:
            _release(claimed.token, work.open_shards)


def _generate(work: Work, model: Loaded, lease: Lease) -> None:
    """Runs every piece, those that a retry adds too, and settles each shard with its last item."""
    done = 0
    settled_at = time.monotonic()
    model.grow()
    while done < len(work.pieces):
        indexes = range(done, len(work.pieces))
        done = len(work.pieces)
        lengths = [work.length_of(index) for index in indexes]
        for batch in plan(lengths, model.batch_tokens, model.spec.batch_rows):
            if drain.is_stopping():
                return
            held = [indexes[at] for at in batch if lease.holds(work.shard_of(indexes[at]))]
            if held:
                _batch(work, model, held)
            if time.monotonic() - settled_at > _SETTLE_SECONDS:
                _settle(lease.token, work.whole())
                settled_at = time.monotonic()


def _batch(work: Work, model: Loaded, batch: Sequence[int]) -> None:
    """Runs one batch; what a failure leaves unanswered is halved until the item that is to blame stands alone."""
    completions, error = _attempt(work, model.engine, batch)
    work.answer(completions)
    if error is None:
        return
    answered = {completion.id for completion in completions}
    rest = [index for index in batch if index not in answered]
    log.warning("batch of %d failed (%s), %d to run again", len(batch), type(error).__name__, len(rest))
    is_memory = isinstance(error, OutOfMemoryError)
    if len(batch) == 1:
        for index in rest:
            work.fail(index, "out_of_memory" if is_memory else "engine_error")
        return
    if is_memory:
        model.shrink(len(batch) * max(work.length_of(index) for index in batch))
    middle = (len(rest) + 1) // 2
    for half in (rest[:middle], rest[middle:]):
        if half:
            _batch(work, model, half)


def _attempt(work: Work, engine: Engine, batch: Sequence[int]) -> tuple[list[Completion], EngineError | None]:
    """The completions of one batch, and what ended it before all were there."""
    completions: list[Completion] = []
    work.charge(batch)
    try:
        for completion in engine.generate([work.request(index) for index in batch]):
            completions.append(completion)  # one by one: those before an error are kept
    except EngineError as error:
        return completions, error
    if len(completions) < len(batch):
        return completions, EngineError("the engine left requests unanswered")
    return completions, None


def _settle(token: UUID, settlements: Sequence[Settlement]) -> None:
    """Settles while the lease may live: what the database refused for longer is some other worker's by now."""
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
            time.sleep(_RETRY_SECONDS)
    if lost := len(settlements) - len(settled.shard_ids):
        log.warning("%d shards were no longer ours: their results were not written", lost)
    if settled.delivery_due:
        queue.ring(queue.DELIVER)


def _put_off(claimed: Claim, code: str) -> None:
    """Tries again later, each time later still; at the last attempt the items end as errors."""
    current = settings.get()
    exhausted = [shard for shard, attempts in claimed.attempts.items() if attempts >= current.max_attempts]
    if exhausted:
        _settle(claimed.token, [done for done in refuse(claimed, code) if done.shard_id in exhausted])
    waiting = [shard for shard in claimed.attempts if shard not in exhausted]
    longest = max((claimed.attempts[shard] for shard in waiting), default=0)
    with database.translated(), database.engine().begin() as connection:
        delay(connection, claimed.token, waiting, seconds=min(2.0**longest, 60))


def _release(token: UUID, shard_ids: Sequence[int]) -> None:
    with database.translated(), database.engine().begin() as connection:
        release(connection, token, shard_ids)
