"""Claims work for the models of this process, and prepares it: renews its lease, loads its model, makes its prompts."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID, uuid4

from lengthwise import database, settings
from lengthwise.kinds import pool as pools
from lengthwise.ledger.queue import lease as leases
from lengthwise.ledger.queue import sweep
from lengthwise.ledger.queue.claim import Claim, ClaimLimits, claim, top_up
from lengthwise.metrics import meters
from lengthwise.models.catalog import ModelSpec
from lengthwise.states import Priority
from lengthwise.traces import TraceSpan
from worker.generation import claim_trace, postponement
from worker.generation.answer_checks import AnswerChecks
from worker.generation.distance import Distance
from worker.generation.lease import Lease
from worker.generation.models import LoadedModel, LoadedModels, NotLoaded
from worker.generation.pool_rotation import PoolRotation
from worker.generation.watchdog import Watchdog
from worker.generation.work import Work
from worker.shutdown import Shutdown


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
    #: It lasts from the claim to the end of its lease.
    span: TraceSpan

    def add(self, more: Claim) -> None:
        """Adds a further claim under the same token."""
        self.claim.shards.update(more.shards)
        self.lease.add(more.shards)
        self.work.add(more)

    def current(self) -> AbstractContextManager[None]:
        """For the block, log lines and spans are about this claim."""
        return claim_trace.about(self.pool, self.claim, self.span)

    @property
    def is_urgent(self) -> bool:
        """Whether a caller waits for one of its unfinished shards."""
        return any(self.claim.shards[shard_id].is_interactive for shard_id in self.work.unfinished_shards)

    @property
    def is_suspect(self) -> bool:
        """Whether workers have died over it. It then runs alone, so that only it is blamed if this worker dies too."""
        return self.claim.is_suspect

    @property
    def is_short(self) -> bool:
        """Whether all of it is no more than one batch."""
        return sum(shard.n_tokens for shard in self.claim.shards.values()) <= self.model.spec.batch_tokens


class Claimer:
    """Claims for the models of this process, until it shuts down."""

    def __init__(
        self, models: LoadedModels, checks: AnswerChecks, watchdog: Watchdog, shutdown: Shutdown, distance: Distance
    ) -> None:
        self._models, self._checks, self._watchdog, self._shutdown = models, checks, watchdog, shutdown
        self.distance = distance
        #: When each pool last had a turn with urgent work.
        self._urgent_at: dict[str, float] = {}

    def prepare(self, rotation: PoolRotation, *, with_suspects: bool = True) -> PreparedClaim | None:
        """Claims from the rotation's current pool, or from another one if it is empty; None if nothing waits.

        Without suspects, it returns None if a suspect is first in the current pool, or if the pool holds nothing but
        suspects. Otherwise a suspect could wait for ever behind work that came later. Raises ``Unavailable``.
        """
        while not self._shutdown.is_begun:
            self._watchdog.step()  # while a model cannot run, this delays all its shards, one claim after the other
            pool = rotation.next()
            if not with_suspects and rotation.is_suspect:
                return None
            claimed = self.claim(pool, with_suspects=with_suspects)
            if claimed is None:
                # Without suspects, this would loop for ever among pools that hold nothing but suspects.
                if not with_suspects or rotation.leave() is None:
                    return None
                continue
            prepared = self._prepare(pool, claimed)
            if prepared is not None:
                return prepared
        return None

    def prepare_urgent(self, beside: PreparedClaim | None = None) -> PreparedClaim | None:
        """Claims a batch of interactive work, if there is any, from pools whose model is loaded. They take turns.

        One claim of long texts is many batches, so work of other pools cannot wait for its end. ``beside`` is a running
        claim that is urgent itself: then only what is short is claimed, and nothing that would join that claim. Raises
        ``Unavailable``.
        """
        if self._shutdown.is_begun:
            return None
        with self.distance.asking():
            urgent = _urgent_pools()
        joins = {beside.pool} if beside is not None and beside.model.capabilities.is_continuous else set[str]()
        loaded = [each for each in urgent if each not in joins and self._models.is_loaded(pools.model_of(each))]
        for pool in sorted(loaded, key=lambda each: self._urgent_at.get(each, 0.0)):
            least, only_short = Priority.INTERACTIVE, beside is not None
            claimed = self.claim(pool, with_suspects=False, least=least, only_short=only_short)
            if claimed is not None:
                self._urgent_at[pool] = time.monotonic()
                return self._prepare(pool, claimed)
        return None

    def claim_more(self, prepared: PreparedClaim) -> bool:
        """Claims another batch from the same pool under the same token; False if nothing waits.

        Raises ``Unavailable``.
        """
        limits = _limits(prepared.model.spec, 1, prepared.model.batch_tokens)
        more = _claim_batches(prepared.pool, prepared.claim.token, limits, with_suspects=False)
        if more is not None:
            meters.get().count_claim(more)
            prepared.add(more)
        return more is not None

    def claim(
        self, pool: str, *, with_suspects: bool, least: Priority = Priority.BACKGROUND, only_short: bool = False
    ) -> Claim | None:
        """Claims some batches from the pool, of priority ``least`` or more urgent. Raises ``Unavailable``.

        ``only_short`` leaves shards that are larger than one batch.
        """
        current = settings.get()
        name = pools.model_of(pool)
        batches = self._models.batches_in(name, current.claim_seconds)
        if self._models.is_failing(name):  # all that is claimed is only put off, in as few claims as possible
            batches = current.claim_batches
        if self.distance.is_far:  # the batches of one claim last until the next claim is there
            batches = max(batches, self._models.batches_during(name, self.distance.claim_seconds or 0.0))
        limits = _limits(self._models.spec(name), batches, self._models.batch_tokens(name))
        token = uuid4()
        claimed = _claim_batches(pool, token, limits, with_suspects=with_suspects, least=least, only_short=only_short)
        is_thin = claimed is not None and limits.missing(claimed.shards.values()) is not None
        if claimed is None or not is_thin or not current.linger_seconds or _is_urgent(claimed):
            return claimed
        time.sleep(current.linger_seconds)
        with database.translated(), database.engine().begin(pipelined=True) as connection:
            pending = top_up(connection, pool, claimed, limits, lease_seconds=current.lease_seconds)
        return pending()

    def _prepare(self, pool: str, claimed: Claim) -> PreparedClaim | None:
        """Returns None if the model cannot run now; the claim's shards are then delayed."""
        span = claim_trace.begin(pool, claimed)
        with claim_trace.about(pool, claimed, span):
            return self._prepare_within(pool, claimed, span)

    def _prepare_within(self, pool: str, claimed: Claim, span: TraceSpan) -> PreparedClaim | None:
        claimed_at = time.monotonic()
        lease = Lease(claimed.token, claimed.shards, self._watchdog, self._shutdown, self.distance, span.end)
        lease.start()
        try:
            model = self._models.get(pools.model_of(pool))
            if pause := model.pause_seconds:
                lease.stop()
                postponement.delay(claimed.token, claimed.shards, pause)
                return None
            # A suspect waits for its checks: whatever runs beside it would be blamed too if this worker dies.
            checks = None if claimed.is_suspect else self._checks
            work = Work(claimed, model.model, model.capabilities.labels, model.answers, checks, self._watchdog.step)
        except NotLoaded:
            lease.stop()
            postponement.postpone(pools.model_of(pool), claimed)
            return None
        except BaseException:
            lease.stop()
            raise
        meters.get().count_claim(claimed)
        return PreparedClaim(pool, claimed, lease, model, work, claimed_at, span)


def _urgent_pools() -> list[str]:
    with database.translated(), database.engine().asking() as connection:
        waiting = sweep.find_waiting_pools(connection)
    return [each.name for each in waiting if each.priority == Priority.INTERACTIVE and not each.is_suspect]


def _claim_batches(
    pool: str,
    token: UUID,
    limits: ClaimLimits,
    *,
    with_suspects: bool,
    least: Priority = Priority.BACKGROUND,
    only_short: bool = False,
) -> Claim | None:
    seconds = settings.get().lease_seconds
    with database.translated(), database.engine().begin(pipelined=True) as connection:
        pending = claim(
            connection,
            pool,
            token,
            limits,
            lease_seconds=seconds,
            with_suspects=with_suspects,
            least=least,
            only_short=only_short,
        )
    return pending()


def _limits(spec: ModelSpec | None, batches: int, fitting: int | None) -> ClaimLimits:
    """The limits of a claim of this many batches, in tokens and in rows; the first that is reached counts.

    ``fitting``: the tokens that fit into a batch now, if the model is loaded. After it ran out of memory they are
    fewer, and what is claimed beyond them would wait here while others could run it.
    """
    current = settings.get()
    # The catalog does not name this model, so it cannot run: its shards are only claimed to be postponed.
    tokens, rows = (spec.batch_tokens, spec.batch_rows) if spec else (current.chunk_items, current.shard_items)
    tokens, batches = min(tokens, fitting or tokens), min(batches, current.claim_batches)
    return ClaimLimits(tokens=batches * tokens, items=batches * rows, batch_items=rows)


def _is_urgent(claimed: Claim) -> bool:
    return any(shard.is_interactive for shard in claimed.shards.values())


def give_back(prepared: PreparedClaim) -> None:
    """Releases all unfinished shards, without counting an attempt, and stops renewing the lease.

    They can be claimed again at once, or after the pause if the model's engine is unavailable. If the database is away,
    they can be claimed once the lease has expired.
    """
    try:
        shard_ids = prepared.work.unfinished_shards
        if shard_ids and (pause := prepared.model.pause_seconds):
            postponement.delay(prepared.claim.token, shard_ids, pause)
        elif shard_ids:
            with database.translated(), database.engine().begin() as connection:
                leases.release(connection, prepared.claim.token, shard_ids)
    finally:
        prepared.lease.stop()
