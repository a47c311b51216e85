"""A small ``make bench-queue``: it runs and checks its results. Its figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_the_comparison_runs_and_every_result_is_right() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.queue", "--parts", "compare", "--rounds", "1", "--items", "300",
         "--baseline-items", "100"],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert figures["every_result_was_right"]
    assert figures["cpu_us_per_item"] > 0
    assert figures["task_per_item_cpu_us"] > 0
    assert figures["redis_bytes_per_item"] < figures["task_per_item_redis_bytes"]
