"""Injects a few of the harness's faults under one seed. ``make faults`` injects all of them."""

import os
from pathlib import Path
from random import Random

import pytest

from tests.faults.busy import busy_machine
from tests.faults.report import summary
from tests.faults.run import FAULTS, run_seed
from tests.servers import wait_until

SUBSET = (
    "kill -9 generate, settled",
    "Redis FLUSHALL",
    "pg_terminate_backend in a loop",
    "API killed between commit and enqueue",
)


@pytest.mark.alone
@pytest.mark.timeout(200)
def test_a_few_faults_lose_double_misalign_and_leave_nothing() -> None:
    assert set(SUBSET) <= {fault.name for fault in FAULTS}
    outcomes = run_seed(Random().randrange(10**6), SUBSET, n_items=300)
    assert [outcome.problems for outcome in outcomes] == [[]] * len(SUBSET)
    counted = summary(outcomes, 1, len(SUBSET))
    assert {name: counted[name] for name in ("lost", "doubled", "misaligned", "stuck", "leaks")} == {
        "lost": 0,
        "doubled": 0,
        "misaligned": 0,
        "stuck": 0,
        "leaks": 0,
    }
    assert int(str(counted["acknowledged"])) >= 300 * len(SUBSET)


def children() -> set[str]:
    """The processes that this thread has started and that still run."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("per_core", [0, 1])
def test_a_busy_machine_is_as_idle_as_before_once_the_run_ends(per_core: int) -> None:
    before = children()
    with busy_machine(per_core):
        started = children() - before
        assert len(started) == (per_core and per_core * (os.cpu_count() or 1) + 2)
        wait_until(lambda: all(runs_this_package(process) for process in started))
    assert not children() & started


def runs_this_package(process: str) -> bool:
    return "tests.faults.busy" in Path(f"/proc/{process}/cmdline").read_text()
