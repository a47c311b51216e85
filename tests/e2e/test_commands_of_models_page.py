"""The commands of docs/models.md that need an installation: workers on devices, a new revision while the API runs."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from lengthwise import queue
from lengthwise.child import Child, Program
from lengthwise.local.program import MODELS_LOADED
from lengthwise.settings import Settings
from tests import servers
from tests.caller import KEY, bearer
from tests.fakes import write_catalog
from tests.ledger import POOL, knobs, outputs, state, submit
from tests.published.loopback.hub import Hub
from tests.published.pages import documented
from tests.servers import free_port, wait_until
from tests.workers import START_SECONDS

NAME = "Qwen/Qwen3-0.6B"


def test_a_worker_runs_on_all_devices(installed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    knobs(monkeypatch, models=write_catalog(tmp_path))
    words = shlex.split(documented.block("lengthwise worker --devices all"))
    command = [sys.executable, "-P", "-m", *words]
    child = Child(Program("workers", command, environment=os.environ), tmp_path / "workers.log")
    child.start()
    try:
        wait_until(lambda: MODELS_LOADED in child.output() or not child.is_running, START_SECONDS)
        assert child.is_running, child.output()
        job = submit(["abc"])
        queue.ring(queue.GENERATE, [POOL])
        wait_until(lambda: state(job) == "completed")
        assert outputs(job)[0]["output"]["text"] == "cba"
        wait_until(lambda: "deliver-1-" in child.output(), START_SECONDS)
    finally:
        child.ask_to_stop()
        wait_until(lambda: not child.is_running)


@pytest.fixture
def revisions(model_hub: Hub, published: Callable[[str], Path], tmp_path: Path) -> tuple[str, str]:
    """The commits of two revisions of one repository on the hub."""
    newer = Path(shutil.copytree(published(NAME), tmp_path / "newer"))
    (newer / "README.md").write_text("A new revision.\n")
    served = (model_hub.serve(NAME, published(NAME)), model_hub.serve(NAME, newer, revision="newer"))
    return served[0].commit, served[1].commit


@pytest.fixture
def environment(
    model_hub: Hub, revisions: tuple[str, str], database_url: str, redis_url: str, tmp_path: Path
) -> dict[str, str]:
    """For the API and for the commands, which name the second revision. The API looks at the file when it is told."""
    first, second = revisions
    return {
        **os.environ,
        **model_hub.environment(tmp_path / "home"),
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        servers.DATABASE_VARIABLE: database_url,
        servers.REDIS_VARIABLE: redis_url,
        "LENGTHWISE_MASTER_KEY": servers.MASTER_KEY,
        "LENGTHWISE_MODELS": str(tmp_path / "models.toml"),
        "LENGTHWISE_MODELS_SECONDS": "600",
        "LENGTHWISE_API_KEY": KEY,
        "COMMIT": second,
        "EDITOR": f"sed -i s/{first}/{second}/",
    }


@pytest.fixture
def url(environment: dict[str, str], revisions: tuple[str, str], tmp_path: Path) -> Iterator[str]:
    """An API that serves the first revision."""
    documented.run(f"hf download {NAME} --revision {revisions[0]}\n", tmp_path, environment)
    table = f'[models.qwen]\nhub = "{NAME}"\nrevision = "{revisions[0]}"\n[models.qwen.generate]\n'
    (tmp_path / "models.toml").write_text(table)
    port = str(free_port())
    command = [sys.executable, "-P", "-m", "lengthwise", "api", "--host", "127.0.0.1", "--port", port]
    child = Child(Program("api", command, environment=environment), tmp_path / "api.log")
    child.start()
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}") or not child.is_running, START_SECONDS)
        assert child.is_running, child.output()
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's request is made with curl")
def test_a_running_api_takes_a_new_revision_of_the_hub(
    url: str, environment: dict[str, str], revisions: tuple[str, str], tmp_path: Path
) -> None:
    before = httpx.get(f"{url}/v1/models", headers=bearer()).json()
    assert [(each["revision"], each["usable"]) for each in before["data"]] == [(revisions[0], True)]
    block = documented.block(f"hf download {NAME} --revision $COMMIT")
    said = documented.run(block.replace("http://127.0.0.1:8000", url), tmp_path, environment)
    after = json.loads(said.splitlines()[-1])
    assert [(each["revision"], each["usable"]) for each in after["data"]] == [(revisions[1], True)]
    assert after["is_current"]
