"""``lengthwise model add`` that is interrupted: it ends at once, says one line, and leaves nothing half-written."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.published.loopback.hub import Hub
from tests.published.small import NAME, WEIGHTS, assert_fetched

#: How long the rest of the download would take, and how soon the command has to end.
_REST_SECONDS, _SOON_SECONDS = 300, 60
_BLOCK = 1 << 16


def _until(is_so: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not is_so():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def _catches(pid: int, number: int) -> bool:
    """Whether the process has a handler of its own for the signal; before, Python itself begins."""
    [caught] = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["at once", "while weights arrive"])
def test_an_interrupted_command_ends_at_once_and_leaves_nothing(
    number: signal.Signals, status: int, moment: str, model_hub: Hub, small: Path, commands: dict[str, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    n_blocks = 256
    (small / WEIGHTS).write_bytes(os.urandom(n_blocks * _BLOCK))
    model_hub.serve(NAME, small)
    model_hub.seconds_per_block = _REST_SECONDS / n_blocks
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "lengthwise", "model", "add", NAME],
        env=commands | {"TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # as in a terminal
    )
    cache = Path(commands["HF_HUB_CACHE"])
    if moment != "at once":
        _until(lambda: any("/cdn/" in path for _, path in model_hub.requests), process)
        _until(lambda: [*cache.rglob("*.incomplete")], process)
    else:
        _until(lambda: _catches(process.pid, signal.SIGTERM), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=_SOON_SECONDS)
    assert (process.returncode, out) == (status, "")
    assert err.splitlines()[-1].startswith("interrupted") and err.count("interrupted") == 1
    assert "Traceback" not in err
    assert list(cache.rglob("*.incomplete")) == []
    assert list((tmp_path / "temporary").glob("lengthwise*")) == []
    assert not (tmp_path / "models.toml").exists() and not (tmp_path / "models").exists()
    model_hub.seconds_per_block = 0
    assert_fetched(small)
