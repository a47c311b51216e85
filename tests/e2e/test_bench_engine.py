"""A small ``make bench-engine``: it runs and its outputs have the requested lengths. Its figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.engine", "--items", "3", "--rounds", "1", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


@pytest.mark.timeout(240)
def test_the_engine_is_measured_without_peers(tmp_path: Path) -> None:
    systems = ("lengthwise int8", "CTranslate2 int8")
    ran = _bench("--parts", "w1", "--systems", *systems, "--peers", str(tmp_path / "none"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{tmp_path / 'none'} is not there" in " ".join(ran.stdout.split())
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert set(figures["w1_items_per_second"]) == {"int8"}
    assert figures["w1_vs_ctranslate2"] is None
    assert figures["w1_share_of_peak"] > 0


@pytest.mark.timeout(240)
def test_the_whole_system_is_measured_beside_its_engine() -> None:
    ran = _bench("--parts", "share")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1])["system_share_of_engine"] > 0
