"""A simulated cluster: pods start late and compute at a rate, jobs arrive by a trace, and the autoscaler asks us.

Time goes on in steps. Which pods are removed is drawn by chance, as Kubernetes does not know which are busy; what a
removed pod held goes back to the queue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from random import Random

from lengthwise.scaling.decision import DueWork, Load, ScalingMemory, ScalingPolicy, decide

STEP = 5.0
#: How often the autoscaler asks.
POLL = 15.0
#: What one worker holds at a time, in seconds of its work.
CLAIM_SECONDS = 5.0

POLICY = ScalingPolicy(
    min_workers=0, max_workers=10, tokens_per_second=1000, drain_seconds=900, start_seconds=120, settle_seconds=300
)


@dataclass(frozen=True)
class Arrival:
    """A job: when it is submitted, its tokens, and after how many seconds it expires, if it does."""

    at: float
    tokens: int
    deadline: float | None = None


@dataclass
class OpenJob:
    arrival: Arrival
    left: float

    def seconds_left(self, now: float) -> float | None:
        return None if self.arrival.deadline is None else self.arrival.at + self.arrival.deadline - now

    def is_urgent(self, now: float) -> bool:
        """As in ``lengthwise.ledger.queue.urgency``: interactive in the last quarter."""
        left = self.seconds_left(now)
        return left is not None and left <= (self.arrival.deadline or 0) / 4


@dataclass
class Polled:
    """One question of the autoscaler, and what was the case then."""

    at: float
    desired: int
    busy: int
    live: int
    waiting: int


@dataclass
class Cluster:
    """Runs ``arrivals``. ``away`` are times without an answer, ``stalled`` times in which no worker computes."""

    arrivals: Sequence[Arrival]
    policy: ScalingPolicy = POLICY
    rate: float = 1000.0
    #: How long a pod really takes to start.
    start: float = 120.0
    #: The measured rate is wrong by up to this part.
    noise: float = 0.0
    away: tuple[tuple[float, float], ...] = ()
    stalled: tuple[tuple[float, float], ...] = ()
    seed: int = 1

    pods: list[float] = field(default_factory=list)  # when each is ready
    open: list[OpenJob] = field(default_factory=list)
    polled: list[Polled] = field(default_factory=list)
    ended_at: dict[int, float] = field(default_factory=dict)  # by the place of the arrival
    missed: list[Arrival] = field(default_factory=list)
    memory: ScalingMemory = field(default_factory=ScalingMemory)
    worker_seconds: float = 0.0

    def run(self, seconds: float) -> "Cluster":
        random, coming = Random(self.seed), sorted(self.arrivals, key=lambda each: each.at)
        throughput, n_arrived = 0.0, 0
        for step in range(ceil(seconds / STEP)):
            now = step * STEP
            while n_arrived < len(coming) and coming[n_arrived].at <= now:
                self.open.append(OpenJob(coming[n_arrived], coming[n_arrived].tokens))
                n_arrived += 1
            self._expire(now)
            if now % POLL == 0 and not _within(now, self.away):
                self._poll(now, throughput, random)
            done = self._compute(now)
            throughput = 0.9 * throughput + 0.1 * done / STEP
            self.worker_seconds += len(self.pods) * STEP
        return self

    def _expire(self, now: float) -> None:
        for job in [each for each in self.open if (each.seconds_left(now) or 1) <= 0]:
            self.open.remove(job)
            self.missed.append(job.arrival)

    def _poll(self, now: float, throughput: float, random: Random) -> None:
        load = self.load(now, throughput, random)
        decision, self.memory = decide(load, self.policy, self.memory, now)
        self.polled.append(Polled(now, decision.desired, load.busy_workers, load.live_workers, load.waiting_tokens))
        while len(self.pods) > decision.desired:
            self.pods.pop(random.randrange(len(self.pods)))
        self.pods += [now + self.start] * (decision.desired - len(self.pods))

    def load(self, now: float, throughput: float, random: Random) -> Load:
        ready, left = self._ready(now), sum(job.left for job in self.open)
        running = min(left, ready * CLAIM_SECONDS * self.rate)
        busy = min(ready, ceil(left / (CLAIM_SECONDS * self.rate)))
        due = []
        for job in self.open:
            seconds = job.seconds_left(now)
            soft = job.arrival.at + self.policy.drain_seconds - now
            due.append(DueWork(soft if seconds is None else seconds, ceil(job.left), seconds is not None))
        wrong = 1 + random.uniform(-self.noise, self.noise)
        measured = throughput / ready * wrong if ready and throughput > 0 else None
        return Load(ceil(left - running), ceil(running), tuple(due), ready, busy, measured)

    def _ready(self, now: float) -> int:
        return sum(at <= now for at in self.pods)

    def _compute(self, now: float) -> float:
        """Urgent jobs come first; the others share what is left evenly. Returns the tokens that were computed."""
        capacity = 0.0 if _within(now, self.stalled) else self._ready(now) * self.rate * STEP
        free = capacity
        for group in ([each for each in self.open if each.is_urgent(now)], self.open):
            for place, job in enumerate(sorted(group, key=lambda each: each.left)):
                used = min(job.left, free / (len(group) - place))
                job.left -= used
                free -= used
        for job in [each for each in self.open if each.left < 1e-6]:
            self.open.remove(job)
            self.ended_at[self.arrivals.index(job.arrival)] = now + STEP
        return capacity - free

    @property
    def desired(self) -> list[int]:
        return [each.desired for each in self.polled]

    @property
    def n_turns(self) -> int:
        """How often the number changed from rising to falling, or from falling to rising."""
        changes = [after - before for before, after in pairwise(self.desired) if after != before]
        return sum((before > 0) != (after > 0) for before, after in pairwise(changes))


def _within(now: float, times: Sequence[tuple[float, float]]) -> bool:
    return any(begins <= now < ends for begins, ends in times)
