"""Runs the demonstration as ``make demo`` does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_the_demonstration_shows_right_translations_and_leaves_nothing_running(data: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "examples.demo", "--data", str(data)],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = json.loads(ran.stdout.splitlines()[-1])
    assert summary["jobs"] == 2
    assert summary["items"] >= 700
    assert summary["failed"] == 0
    assert summary["webhooks_verified"] == 2
    assert summary["padding_share"] < summary["padding_share_arrival_order"]
    assert summary["samples"]["我吃了一个苹果。"] == "I ate an apple."
    assert servers.processes_mentioning(str(data)) == []
