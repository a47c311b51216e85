"""The scene of a fault: a stack under load, a client that keeps submitting, and ways to observe both."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from lengthwise import queue
from tests.faults.client import AcknowledgedJob, FaultClient
from tests.faults.injected.bell import message
from tests.faults.stack import DELIVER, GENERATE, WORKERS, FaultStack
from tests.faults.table import Tables

#: A word in every text. Only the database may ever store it.
CANARY = "kanarienvogel"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz     ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,"
#: Seconds that a fault waits for the system to recover before it notes a problem.
_PATIENCE_SECONDS = 30.0
_RING_SECONDS = 0.5


@dataclass
class Scene:
    stack: FaultStack
    client: FaultClient
    tables: Tables
    random: Random
    n_items: int
    #: Broken promises that the verdict does not count.
    problems: list[str] = field(default_factory=list)
    #: Recoveries by row of the report, for faults with several rows.
    recoveries: dict[str, float] = field(default_factory=dict)
    first_job: int = 0

    def __post_init__(self) -> None:
        self.first_job = len(self.client.jobs)

    @property
    def jobs(self) -> list[AcknowledgedJob]:
        """The jobs that were acknowledged in this scene."""
        return self.client.jobs[self.first_job :]

    def texts(self, count: int, longest: int = 160) -> list[str]:
        """Draws texts of mixed lengths, all different."""
        return [self.text(self.random.randint(1, longest)) for _ in range(count)]

    def text(self, length: int) -> str:
        written = "".join(self.random.choice(_ALPHABET) for _ in range(length)).strip()
        return f"{CANARY} {self.random.getrandbits(64):016x}{written}"

    def submit_load(self) -> None:
        """Submits a few jobs, large and small, some with a webhook."""
        left = self.n_items
        while left > 0:
            count = min(left, self.random.choice((40, 120, 300)))
            self.client.submit(self.texts(count), webhook_url=self._webhook())
            left -= count

    def _webhook(self) -> str | None:
        return (
            self.stack.receiver.url("good", f"{self.random.getrandbits(32):x}") if self.random.random() < 0.5 else None
        )

    def until_middle(self) -> None:
        """Waits until a random share of the load is settled."""
        share = self.random.uniform(0.05, 0.5) * self.n_items
        jobs = [job.id for job in self.jobs]
        self.until(lambda: self.tables.n_settled(jobs) >= share, "the load is being worked on")

    @contextmanager
    def steady_load(self) -> Iterator[None]:
        """Submits small jobs, one after the other, while the context is open."""
        over = threading.Event()
        sizes = Random(self.random.random())

        def submit() -> None:
            mine = Scene(self.stack, self.client, self.tables, sizes, 0)
            while not over.wait(0.2):
                self.client.submit(mine.texts(sizes.randint(1, 20)), webhook_url=mine._webhook(), until=over)

        thread = threading.Thread(target=submit, name="steady load", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def until(self, is_so: Callable[[], bool], what: str, patience: float = _PATIENCE_SECONDS) -> float:
        """Waits until the condition holds and returns the seconds. Notes a problem if it never does.

        On a busy machine it waits longer than ``patience``.
        """
        began, patience = time.monotonic(), patience * self.stack.allowance.patience
        while not is_so():
            if time.monotonic() - began > patience:
                self.problems.append(f"did not happen within {patience:g} s: {what}")
                break
            time.sleep(0.01)
        return time.monotonic() - began

    def until_holding(self) -> str:
        """Waits until some generation worker holds shards. Returns the worker's name."""
        names = self.random.sample(GENERATE, len(GENERATE))
        found: list[str] = []

        def look() -> bool:
            found[:] = [name for name in names if self.tables.n_held(self.stack.control.tokens_of(name))]
            return bool(found)

        self.until(look, "a worker holds shards")
        return found[0] if found else names[0]

    def until_taken_over(self, tokens: Sequence[str], died_at: float) -> float:
        """Waits until a dead worker's shards are settled or held by a live one. Returns the seconds since its death."""
        held = self.tables.held_by(tokens)
        self.until(lambda: self.tables.n_waiting(held, tokens) == 0, "a dead worker's shards are taken over")
        return time.monotonic() - died_at

    def until_consuming(self, since: float) -> float:
        """Waits until every worker has begun a task and the API has answered 2xx. Returns seconds since ``since``."""
        began_at, rings_at = dict.fromkeys(WORKERS, 0.0), time.monotonic()

        def all_began() -> bool:
            nonlocal rings_at
            for name, at in began_at.items():
                if at <= since:
                    began_at[name] = self.stack.control.began_at(name)
            if time.monotonic() > rings_at and min(began_at[name] for name in DELIVER) <= since:
                rings_at += _RING_SECONDS
                self._ring_for_deliveries()
            return min(began_at.values()) > since

        took = self.until(all_began, "every worker takes tasks again")
        self.until_acknowledged(since)
        if idle := [name for name, at in began_at.items() if at <= since]:
            self.problems.append(f"{' and '.join(idle)} took no task")
            return took
        return max(*began_at.values(), self._acknowledged_at(since)) - since

    def _ring_for_deliveries(self) -> None:
        """Rings as a job's end does. On a busy machine none ends for a while, and nothing else wakes these workers."""
        with self.stack.broker() as client:
            client.lpush(queue.DELIVER, json.dumps(message(queue.DELIVER)))

    def until_settling(self, since: float) -> float:
        """Waits for the next settlement and the API's next 2xx. Returns the seconds since ``since``."""
        wall = time.time() - (time.monotonic() - since)
        self.until(lambda: self.tables.has_settled_since(wall), "work is settled again")
        settled_at = time.monotonic()
        self.until_acknowledged(since)
        return max(settled_at, self._acknowledged_at(since)) - since

    def until_acknowledged(self, since: float) -> None:
        self.until(lambda: self._acknowledged_at(since) > since, "the API answers 2xx again")

    def _acknowledged_at(self, since: float) -> float:
        """Returns the time of the first 2xx after ``since``, or ``since`` if there was none."""
        for answer in list(self.client.answers):
            if answer.at > since and answer.status is not None and answer.status < 300:
                return answer.at
        return since
