"""The log lines that `lengthwise up` waits for are those that a worker writes, in both forms and at every level."""

import sys
from pathlib import Path

import pytest

from lengthwise import settings
from lengthwise.child import Child, Program
from lengthwise.local import program
from lengthwise.models.catalog import DEMO_CATALOG
from lengthwise.states import WorkerRole
from tests.servers import wait_until
from worker.generation.models import LoadedModels
from worker.generation.watchdog import Watchdog
from worker.presence import Presence
from worker.shutdown import Shutdown

#: Writes what a generation worker of a given form and level writes as it starts.
_SCRIPT = """
import sys
from lengthwise import logs
logs.set_up("generate", "generate-1", form=sys.argv[1], level=sys.argv[2])
from worker import readiness
readiness.takes_tasks()
sys.argv[3] == "loads" and readiness.models_are_loaded()
"""


def test_up_waits_for_the_line_that_preload_ends_with(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutdown = Shutdown()
    models = LoadedModels(Watchdog(shutdown), Presence(WorkerRole.GENERATE, shutdown))
    monkeypatch.setattr(models, "names", list)
    models.preload()
    assert caplog.messages[-1] == program.MODELS_LOADED


def test_a_process_that_begins_while_models_toml_is_not_valid_takes_tasks_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its worker replaced another process. When the file is mended, jobs find the models."""
    path = tmp_path / "models.toml"
    path.write_text("garbage [")
    monkeypatch.setenv("LENGTHWISE_MODELS", str(path))
    settings.get.cache_clear()
    shutdown = Shutdown()
    presence = Presence(WorkerRole.GENERATE, shutdown)
    models = LoadedModels(Watchdog(shutdown), presence)
    try:
        models.preload()
        assert caplog.messages[-2].startswith(f"no model is loaded until models.toml is valid: {path}: ")
        assert caplog.messages[-1] == program.MODELS_LOADED
        path.write_text(DEMO_CATALOG.read_text())
        assert models.names() == ["demo-translate", "demo-moderate"]
    finally:
        settings.get.cache_clear()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
@pytest.mark.parametrize("form", ["console", "json"])
def test_a_worker_is_ready_once_it_takes_tasks_and_has_its_models(tmp_path: Path, form: str, level: str) -> None:
    assert [_is_ready(tmp_path, "generate-1", form, level, loads) for loads in ("waits", "loads")] == [False, True]


def test_a_delivery_worker_loads_no_models(tmp_path: Path) -> None:
    assert _is_ready(tmp_path, "deliver-1", "json", "ERROR", "waits")


def _is_ready(folder: Path, name: str, *arguments: str) -> bool:
    child = Child(Program(name, [sys.executable, "-c", _SCRIPT, *arguments]), folder / f"{name}.log")
    child.start()
    wait_until(lambda: not child.is_running)
    assert child.exit_code() == 0, child.output()
    return program.worker_is_ready(child)()
