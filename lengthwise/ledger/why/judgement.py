"""Says from facts why a job is not done. Pure: it asks nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lengthwise.kinds import pool as pools
from lengthwise.ledger.why.facts import PoolShards
from lengthwise.states import NOT_NAMED, Reason, WorkerRole, WorkerState

_ORDER = {reason: place for place, reason in enumerate(Reason)}


@dataclass(frozen=True, slots=True)
class Why:
    """Why a job is not done. What is not known, or does not belong to the reason, is None or 0."""

    reason: Reason
    #: The model that the reason is about.
    model: str | None = None
    #: Since when it holds, and when it ends or the next try is due.
    since: datetime | None = None
    until: datetime | None = None
    #: Workers: that hold its shards if it is running, that are silent if there is no other, else those that are alive.
    workers: int = 0
    #: Whether one of these is working, and how many delivery workers are alive.
    is_busy: bool = False
    n_delivering: int = 0
    #: What a worker said of the model that failed, or of the engine that pauses. Our own words.
    cause: str | None = None
    attempts: int = 0
    #: The most workers that died over one of its shards.
    deaths: int = 0
    #: Webhooks that wait, those that are being sent, and the receiver's last status.
    n_webhooks: int = 0
    n_sending: int = 0
    status: int | None = None
    #: What comes first, in shards and in their input tokens, and of how many tenants. ``is_beyond``: at least so much.
    n_ahead: int = 0
    n_tokens_ahead: int = 0
    n_tenants_ahead: int = 0
    is_beyond: bool = False
    #: The share of the work that its tenant gets.
    share: float = 1.0
    #: Pools, and so perhaps models, with work that comes first or takes turns with this.
    n_other_pools: int = 0


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """A worker process as it last reported itself."""

    role: WorkerRole
    #: ``lost`` if that is so long ago that it is frozen, dead or cut off.
    state: WorkerState
    seen_at: datetime
    #: The models that it loaded, or could not load.
    models: list[dict[str, Any]]

    @property
    def takes_work(self) -> bool:
        return self.state not in (WorkerState.LOST, WorkerState.STOPPING)


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers that were seen."""

    workers: Sequence[SeenWorker]

    @property
    def generating(self) -> list[SeenWorker]:
        """Those that claim shards now."""
        return [each for each in self._of(WorkerRole.GENERATE) if each.takes_work]

    @property
    def silent(self) -> list[SeenWorker]:
        return [each for each in self._of(WorkerRole.GENERATE) if each.state is WorkerState.LOST]

    @property
    def n_delivering(self) -> int:
        return sum(each.takes_work for each in self._of(WorkerRole.DELIVER))

    def _of(self, role: WorkerRole) -> list[SeenWorker]:
        return [each for each in self.workers if each.role == role]

    @property
    def last_seen_at(self) -> datetime | None:
        return max((each.seen_at for each in self._of(WorkerRole.GENERATE)), default=None)

    @property
    def is_busy(self) -> bool:
        return any(each.state is WorkerState.WORKING for each in self.generating)

    def obstacle(self, model: str, now: datetime) -> Why | None:
        """Why no worker runs this model; None if one does, or has not tried yet."""
        live = self.generating
        known = [entry for each in live for entry in each.models if entry.get("name") == model]
        loaded = [entry for entry in known if entry.get("state") == "loaded"]
        failed = [entry for entry in known if entry.get("state") == "failed"]
        if loaded:
            pauses = [(until, entry) for entry in loaded if (until := _time(entry.get("paused_until"))) and until > now]
            if len(pauses) < len(loaded):
                return None
            until, first = min(pauses, key=lambda pause: pause[0])
            return Why(Reason.ENGINE_PAUSED, model, until=until, workers=len(loaded), cause=first.get("paused_for"))
        if not failed:
            return None
        if all(entry.get("reason") == NOT_NAMED for entry in failed):
            return Why(Reason.MODEL_UNKNOWN, model, since=_first_failure(failed), workers=len(live))
        unloadable = [entry for entry in failed if entry.get("reason") != NOT_NAMED]
        newest = max(unloadable, key=lambda entry: str(entry.get("failed_at")))
        return Why(
            Reason.MODEL_NOT_SERVED, model, _first_failure(unloadable), workers=len(live), cause=newest.get("reason")
        )


def _first_failure(failed: Sequence[Mapping[str, Any]]) -> datetime | None:
    return min((at for entry in failed if (at := _time(entry.get("failed_at")))), default=None)


def _time(value: Any) -> datetime | None:
    """A time as a worker's row has it, in ISO 8601; None if it has none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None


def of_open_job(shards: Sequence[PoolShards], crew: Crew, waiting: Mapping[str, int], now: datetime) -> Why:
    """The first reason that holds for an open job, in the order of ``Reason``.

    ``shards`` are those of each of its pools, and ``waiting`` all pools with work, and how urgent that is.
    """
    n_delivering, live = crew.n_delivering, len(crew.generating)
    if not shards:
        return Why(Reason.ENDING, n_delivering=n_delivering)
    tokens = {token for each in shards for token in each.tokens}
    # A worker of an earlier release describes itself nowhere, but renews its leases.
    if not live and (crew.silent or not tokens):
        return Why(Reason.NO_WORKER, since=crew.last_seen_at, workers=len(crew.silent))
    found = min((_of_pool(each, crew, waiting, now) for each in shards), key=lambda why: _ORDER[why.reason])
    if found.reason is Reason.RUNNING:
        # A worker may hold several leases, but a lease has one worker.
        found = replace(found, workers=min(len(tokens), live) or len(tokens))
    return replace(found, workers=found.workers or live, n_delivering=n_delivering, is_busy=crew.is_busy)


def _of_pool(mine: PoolShards, crew: Crew, waiting: Mapping[str, int], now: datetime) -> Why:
    model = pools.model_of(mine.pool)
    bisecting = Why(Reason.BISECTING, model, deaths=mine.deaths)
    if mine.n_held:
        return Why(Reason.RUNNING, model)
    if mine.n_held_suspects:
        return bisecting
    if not mine.n_ready:  # only the sweep takes shards back from the dead
        return bisecting if crew.n_delivering else Why(Reason.NO_DELIVERY_WORKER, model)
    if obstacle := crew.obstacle(model, now):
        return obstacle
    if not mine.n_claimable:
        return Why(Reason.RETRYING, model, until=mine.next_at, attempts=mine.attempts)
    if mine.n_suspects == mine.n_claimable:
        return bisecting
    return _behind(mine, model, crew, waiting)


def _behind(mine: PoolShards, model: str, crew: Crew, waiting: Mapping[str, int]) -> Why:
    others = {pool: priority for pool, priority in waiting.items() if pool != mine.pool}
    n_urgent = sum(priority < mine.priority for priority in others.values())
    n_equal = sum(priority == mine.priority for priority in others.values())
    behind = Why(
        Reason.BEHIND_OTHERS,
        model,
        n_ahead=mine.n_ahead,
        n_tokens_ahead=mine.n_tokens_ahead,
        n_tenants_ahead=mine.n_tenants_ahead,
        is_beyond=mine.is_beyond,
        share=mine.share,
        n_other_pools=n_equal,
    )
    if n_urgent or mine.n_urgent_ahead:
        return replace(behind, reason=Reason.BEHIND_URGENT, n_other_pools=n_urgent)
    if n_equal or mine.n_ahead or mine.is_beyond:
        return behind
    if not crew.n_delivering and not crew.is_busy:
        return Why(Reason.NO_DELIVERY_WORKER, model)
    return Why(Reason.NEXT, model)
