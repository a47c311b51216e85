"""Runs one seed: it starts a stack and injects the faults one after the other, each with its load and its verdict."""

import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from random import Random

from tests.faults.busy import Allowance
from tests.faults.canary import Canary
from tests.faults.client import FaultClient
from tests.faults.injected import (
    api_fault,
    broker_fault,
    clock_fault,
    database_fault,
    engine_fault,
    key_fault,
    receiver_fault,
    route_fault,
    silent_fault,
    worker_fault,
)
from tests.faults.injected.fault import InjectedFault
from tests.faults.scene import Scene
from tests.faults.stack import WORKERS, FaultStack
from tests.faults.table import Tables
from tests.faults.verdict import Verdict, judge, wait_delivered, wait_ended
from tests.servers import reachable_folder

FAULTS: tuple[InjectedFault, ...] = (
    *worker_fault.FAULTS,
    *broker_fault.FAULTS,
    *database_fault.FAULTS,
    *silent_fault.FAULTS,
    *route_fault.FAULTS,
    *engine_fault.FAULTS,
    *receiver_fault.FAULTS,
    *api_fault.FAULTS,
    *key_fault.FAULTS,
    *clock_fault.FAULTS,
)
_DELIVERY_SECONDS = 15.0


@dataclass
class FaultOutcome:
    """The outcome of one fault under one seed."""

    seed: int
    name: str
    bound: float
    interrupts: bool
    verdict: Verdict = field(default_factory=Verdict)
    #: Broken promises that the verdict does not count.
    problems: list[str] = field(default_factory=list)
    #: Seconds until the system had recovered; None if the fault could not be finished.
    recovery: float | None = None
    #: Further rows of the report: seconds by name.
    rows: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    #: In local time, as in the logs.
    began_at: datetime = field(default_factory=datetime.now)

    @property
    def is_late(self) -> bool:
        return self.recovery is not None and self.recovery > self.bound

    @property
    def is_ok(self) -> bool:
        return not (self.problems or self.is_late or any(self.verdict.counts))

    @property
    def line(self) -> str:
        """The outcome in one line."""
        recovery = "" if self.recovery is None else f", recovery {self.recovery:.2f} s"
        verdict = "ok    " if self.is_ok else "BROKEN"
        first = f"seed {self.seed} {verdict} {self.name}{recovery}, {self.seconds:.1f} s in all"
        return "; ".join((first, *self.verdict.notes, *self.problems))


#: The engine's pace. Even seeds run each batch to its end; odd seeds use continuous batching.
_PACES = {"seconds_per_batch": 0.02}, {"seconds_per_step": 0.0001}

Say = Callable[[FaultOutcome], None]


def _quiet(outcome: FaultOutcome) -> None:
    """Prints nothing."""


def leave_when_stopped() -> None:
    """On SIGTERM, this process leaves its stack, which ends every process of the stack."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))


def run_seed(
    seed: int,
    names: Sequence[str],
    n_items: int,
    keep: Path | None = None,
    say: Say = _quiet,
    *,
    keeps_all: bool = False,
    allowance: Allowance = Allowance(),  # noqa: B008 - it is frozen
) -> list[FaultOutcome]:
    """Injects the faults with these names in an order that the seed decides.

    The logs and control files of a stack on which a fault broke something go to ``keep``, or with ``keeps_all`` those
    of every stack.
    """
    random = Random(seed)
    faults = [fault for fault in FAULTS if fault.name in names]
    random.shuffle(faults)
    outcomes: list[FaultOutcome] = []
    for number in count(1):
        if not faults:
            break
        n_before, is_whole = len(outcomes), False
        with reachable_folder() as folder:
            try:
                with FaultStack(folder, _PACES[seed % len(_PACES)], allowance) as stack:
                    _play_all(stack, faults, random, seed, n_items, outcomes, say)
                is_whole = all(outcome.is_ok for outcome in outcomes[n_before:])
            finally:
                if keep is not None and (keeps_all or not is_whole):
                    _keep(folder, keep / f"seed-{seed}-{number}", outcomes[n_before:])
    return outcomes


def _play_all(
    stack: FaultStack,
    faults: list[InjectedFault],
    random: Random,
    seed: int,
    n_items: int,
    outcomes: list[FaultOutcome],
    say: Say,
) -> None:
    """Injects faults and removes them from ``faults``, until none is left or one has made the stack unusable."""
    client, tables, canary = FaultClient(stack.url), Tables(stack.database_url), Canary()
    try:
        while faults:
            fault = faults.pop(0)
            scene = Scene(stack, client, tables, Random(random.random()), n_items)
            outcome = FaultOutcome(seed, fault.name, fault.bound * stack.allowance.bound, fault.interrupts)
            outcomes.append(outcome)
            began = time.monotonic()
            try:
                _play(fault, scene, outcome, canary)
            except Exception as error:
                frames = "".join(traceback.format_exception(error, limit=-4))
                outcome.problems += [*scene.problems, f"ended early by {type(error).__name__}: {error}\n{frames}"]
                return
            finally:
                outcome.seconds = time.monotonic() - began
                say(outcome)
    finally:
        tables.close()
        client.close()


def _play(fault: InjectedFault, scene: Scene, outcome: FaultOutcome, canary: Canary) -> None:
    n_complaints, n_ended = len(scene.client.complaints), len(scene.stack.keeper.ended)
    scene.submit_load()
    scene.until_middle()
    with scene.steady_load():
        outcome.recovery = fault.inject(scene)
    longer = scene.stack.allowance.patience
    open_jobs = wait_ended(scene, fault.patience * longer)
    if undelivered := wait_delivered(scene, _DELIVERY_SECONDS * longer):
        scene.problems.append(f"{len(undelivered)} webhooks not delivered")
    if not fault.ends:
        scene.problems += [f"{name} ended unexpectedly" for name in scene.stack.keeper.ended[n_ended:]]
    outcome.verdict = judge(scene, open_jobs)
    canary.look(scene, outcome.verdict)
    outcome.rows = scene.recoveries
    outcome.problems += scene.problems + scene.client.complaints[n_complaints:]
    if open_jobs or scene.problems:
        _amend(scene, open_jobs)
    scene.stack.wait_ready()


def _amend(scene: Scene, open_jobs: set[str]) -> None:
    """Cancels stuck jobs, empties the broker and restarts the workers, so that the next fault starts clean."""
    for job_id in open_jobs:
        scene.client.cancel(job_id)
    with scene.stack.broker() as client:
        client.flushall()
    scene.stack.keeper.renew(*WORKERS)


def _keep(folder: Path, place: Path, outcomes: Sequence[FaultOutcome]) -> None:
    """Copies the logs and control files, and writes which fault was injected when."""
    for name in ("data/logs", "control"):
        if (folder / name).exists():
            shutil.copytree(folder / name, place / name, dirs_exist_ok=True)
    place.mkdir(parents=True, exist_ok=True)
    lines = [f"{outcome.began_at:%H:%M:%S} {outcome.line}" for outcome in outcomes]
    (place / "faults.txt").write_text("".join(f"{line}\n" for line in lines))
