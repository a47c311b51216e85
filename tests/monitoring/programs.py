"""Debian's promtool and prometheus. ``make test-monitoring`` puts them on the path."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
#: Where ``make test-monitoring`` unpacks them.
_UNPACKED = ROOT / ".venv" / "prometheus" / "usr" / "bin"


def find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=str(_UNPACKED))


PROMTOOL, PROMETHEUS = find("promtool"), find("prometheus")
#: Marks the tests of a module.
marks = [
    pytest.mark.monitoring,
    pytest.mark.skipif(not (PROMTOOL and PROMETHEUS), reason="promtool is missing: make test-monitoring"),
]


def promtool(*arguments: str, sent: bytes = b"") -> str:
    """Runs it in the folder of our files. Returns what it says, and fails if it found a mistake."""
    ran = subprocess.run([PROMTOOL or "", *arguments], input=sent, cwd=MONITORING, capture_output=True, check=False)
    said = (ran.stdout + ran.stderr).decode()
    assert ran.returncode == 0, said
    return said
