"""A small ``make bench-gpu`` on the CPU: it runs, and its outputs have the right lengths. Its figures mean nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_GPU = os.environ | {"CUDA_VISIBLE_DEVICES": ""}


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments],
        cwd=ROOT, env=WITHOUT_GPU, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_every_system_is_measured_on_tiny_models() -> None:
    ran = _bench("--tiny", "--parts", "w1", "w2", "--items", "3", "3")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert (found["device"], found["size"], found["rounds"]) == ("cpu", "tiny", 1)
    assert set(found["w1"]) == {"ours", "sorted"}
    assert set(found["w2"]) == {"ours", "sorted", "continuous"}
    for figures in found["w2"].values():
        assert figures["tokens_per_second"] == pytest.approx(8 * figures["items_per_second"], rel=0.01)
        assert figures["peak_bytes"] > 0
    assert found["w2"]["ours"]["share_of_bandwidth"] > 0
    assert found["w2"]["continuous"]["share_of_bandwidth"] is None


def test_without_a_gpu_only_tiny_models_are_measured() -> None:
    ran = _bench("--size", "1b")
    assert ran.returncode == 1
    assert "there is no GPU here" in ran.stderr
