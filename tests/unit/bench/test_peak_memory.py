"""A measured process reports its own peak memory."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
LARGE = 300 << 20


def test_the_memory_of_the_parent_process_is_not_counted() -> None:
    held = b"x" * LARGE
    program = "from benchmarks.engine.system import peak_bytes; print(peak_bytes())"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 1 << 20 < int(ran.stdout) < len(held)


def test_freed_memory_counts_towards_the_peak() -> None:
    program = f"from benchmarks.engine.system import peak_bytes; len(b'x' * {LARGE}); print(peak_bytes())"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ran.stdout) > LARGE
