"""A small ``make bench-operate``: everything is asked, warm. Its figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.operate.looks import LISTS

ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(300)
def test_everything_that_an_operator_asks_is_answered() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.operate", "--quick", "--no-cold"],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert {f"GET /v1/jobs?{query}" for query in LISTS if query} < found.keys()
    assert {"a scrape", "the queries of the overview", "GET /v1/workers"} < found.keys()
    assert len([name for name in found if name.startswith("GET /v1/jobs/ID")]) == 3
    assert all(figures["warm_ms"] > 0 and figures["cold_ms"] is None for figures in found.values())
