"""Injects a few of the harness's faults under one seed. ``make faults`` injects all of them."""

from random import Random

import pytest

from tests.faults.report import summary
from tests.faults.run import FAULTS, run_seed

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
