"""``make bench-queue`` in small: that it runs and checks its results; what it measures says nothing here."""

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
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["every_result_was_right"]
    assert told["cpu_us_per_item"] > 0
    assert told["task_per_item_cpu_us"] > 0
    assert told["redis_bytes_per_item"] < told["task_per_item_redis_bytes"]
