"""How many generation workers are wanted: from the work that is open, when it is due, and what one worker computes.

Knows nothing of Kubernetes, databases and clocks: whoever asks gives the figures and the time.

Work with a deadline is due then, and all other work some time after it was submitted. The nearest due time comes first,
so the work up to each due time must fit into the time up to there:

    workers = tokens that are due by then / tokens that one worker computes a second / seconds until then

The largest of these is needed. New workers count from the end of their start. Workers that were asked for count as if
they were there: otherwise each question during their start would ask for more of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import ceil

#: Part of the time before a deadline in which its work should be done. Until its last quarter, such work shares the
#: workers with all other work; from then on it is interactive and comes first.
DEADLINE_SHARE = 0.5
#: Work that is overdue, without a deadline, is to be done within this part of the drain time.
OVERDUE_SHARE = 0.1
#: A measured rate counts once more work has waited than run for this long. With less work, it is that of the callers.
SATURATED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class DueWork:
    """Input tokens of open work that is due in ``seconds``, which are negative if it is overdue."""

    seconds: float
    tokens: int
    #: Whether it expires then. Otherwise it only should be done by then.
    is_deadline: bool


@dataclass(frozen=True, slots=True)
class Load:
    """What is open, and what works on it."""

    waiting_tokens: int
    running_tokens: int
    #: The same tokens, by the time at which they are due.
    due: tuple[DueWork, ...]
    #: Workers that are there, and those of them that hold a lease.
    live_workers: int
    busy_workers: int
    #: Input tokens a second of one worker; None if none is measured.
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """What the operator wants. Times are in seconds."""

    min_workers: int
    max_workers: int
    #: Input tokens a second of one worker, as long as none was measured.
    tokens_per_second: float
    #: How long after its submission work without a deadline should be done.
    drain_seconds: float
    #: From the decision until a new worker computes.
    start_seconds: float
    #: How long fewer workers must be enough before there are fewer.
    settle_seconds: float

    def limited(self, workers: int) -> int:
        return min(max(workers, self.min_workers), self.max_workers)


@dataclass(frozen=True, slots=True)
class ScalingMemory:
    """What one decision leaves to the next."""

    #: When so many workers were wanted, and no more since. Times rise, and workers fall.
    wanted: tuple[tuple[float, int], ...] = ()
    #: The last rate that was measured under full load.
    tokens_per_second: float | None = None
    saturated_since: float | None = None


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """How many workers there should be, how many the work needs at this moment, and the rate that was reckoned with."""

    desired: int
    needed: int
    tokens_per_second: float


def decide(
    load: Load, policy: ScalingPolicy, memory: ScalingMemory, now: float
) -> tuple[ScalingDecision, ScalingMemory]:
    """Decides at the time ``now``, in seconds of any clock that never goes back.

    The answer rises at once. It falls when fewer workers have been enough for the time to settle, and never below those
    that hold a lease, nor while a worker that was asked for may still be starting. It stays within the limits.
    """
    since = _saturated_since(load, memory, now)
    measured = load.tokens_per_second if since is not None and now - since >= SATURATED_SECONDS else None
    known = measured or memory.tokens_per_second
    rate = known or policy.tokens_per_second

    settle = max(policy.settle_seconds, policy.start_seconds)
    # The process that decides may be new: it does not know yet why the workers are there.
    before = memory.wanted or ((now, policy.limited(load.live_workers)),)
    recent = [(at, workers) for at, workers in before if at > now - settle]
    coming = max(load.live_workers, recent[0][1] if recent else 0)

    needed = max(_needed(load, policy, rate, coming), default=0)
    wanted = policy.limited(max(needed, load.busy_workers))
    kept = (*((at, workers) for at, workers in recent if workers > wanted), (now, wanted))
    return ScalingDecision(kept[0][1], needed, rate), ScalingMemory(kept, known, since)


def _saturated_since(load: Load, memory: ScalingMemory, now: float) -> float | None:
    is_saturated = load.waiting_tokens > load.running_tokens > 0
    return None if not is_saturated else now if memory.saturated_since is None else memory.saturated_since


def _needed(load: Load, policy: ScalingPolicy, rate: float, coming: int) -> Iterator[int]:
    """The workers that the work up to each due time needs."""
    due = sorted(load.due, key=lambda each: each.seconds)
    for each, tokens in zip(due, accumulate(each.tokens for each in due), strict=True):
        if tokens <= 0:
            continue
        seconds, new_seconds = each.seconds, each.seconds - policy.start_seconds
        if each.is_deadline:
            seconds, new_seconds = seconds * DEADLINE_SHARE, new_seconds * DEADLINE_SHARE
        else:
            least = policy.drain_seconds * OVERDUE_SHARE
            seconds, new_seconds = max(seconds, least), max(new_seconds, least)
        yield _workers(tokens, rate, coming, seconds, new_seconds)


def _workers(tokens: int, rate: float, coming: int, seconds: float, new_seconds: float) -> int:
    """Workers for this many tokens, of which ``coming`` have ``seconds`` and each further one ``new_seconds``."""
    done = coming * rate * max(seconds, 0.0)
    if tokens <= done:
        return ceil(tokens / (rate * seconds))
    if new_seconds <= 0:
        return max(coming, 1)  # others would come too late
    return coming + ceil((tokens - done) / (rate * new_seconds))
