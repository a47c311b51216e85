"""The log line that `lengthwise up` waits for is one that the worker writes."""

import logging

import pytest

from lengthwise.local import program
from lengthwise.states import WorkerRole
from worker.generation.models import LoadedModels
from worker.generation.watchdog import Watchdog
from worker.presence import Presence
from worker.shutdown import Shutdown


def test_up_waits_for_the_line_that_preload_ends_with(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutdown = Shutdown()
    models = LoadedModels(Watchdog(shutdown), Presence(WorkerRole.GENERATE, shutdown))
    monkeypatch.setattr(models, "names", list)
    with caplog.at_level(logging.INFO):
        models.preload()
    assert caplog.messages[-1] == program.MODELS_LOADED
