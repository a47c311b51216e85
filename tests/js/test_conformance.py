"""OpenAI's JavaScript SDK, installed from npm, against a real server. ``make test-js`` runs it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import deliver, reachable
from tests.openai.conftest import RunWorker, api_key, catalog, run_worker, url, working

__all__ = ["api_key", "catalog", "deliver", "reachable", "run_worker", "url"]

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies the script into a folder and installs the SDK there."""
    folder = tmp_path_factory.mktemp("js")
    for name in ("package.json", "conformance.mjs"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=240)
    return folder / "conformance.mjs"


@pytest.mark.js
@pytest.mark.usefixtures("reachable")
def test_the_javascript_sdk_conforms(
    script: Path, url: str, api_key: str, run_worker: RunWorker, deliver: Callable[[], None]
) -> None:
    def run_workers() -> None:
        run_worker()
        deliver()

    with working(run_workers):
        command = ["node", script.name, f"{url}/v1", api_key]
        ran = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, timeout=240, check=False)
    assert ran.stdout == "conforms\n", ran.stderr
