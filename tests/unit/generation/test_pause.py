"""How long a model is paused whose engine depends on a server that is away."""

import time
from pathlib import Path

import pytest

from lengthwise.kinds.kind import KindModel
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog
from tests.fakes import write_catalog
from worker.engine.echo import EchoEngine
from worker.generation.models import LoadedModel


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    spec = Catalog.read(write_catalog(tmp_path)).models["echo"]
    engine = EchoEngine.load(spec)
    return LoadedModel(spec, KindModel(spec, tokenizer.load(spec)), engine, engine.capabilities())


def test_a_model_runs_before_and_after_its_pause(model: LoadedModel, clock: list[float]) -> None:
    assert model.pause_seconds == 0
    model.pause(30)
    clock[0] += 20
    assert model.pause_seconds == 10
    clock[0] += 10
    assert model.pause_seconds == 0


def test_consecutive_pauses_grow_to_a_minute_until_a_batch_runs(model: LoadedModel, clock: list[float]) -> None:
    pauses = []
    for _ in range(8):
        model.pause(0)
        pauses.append(model.pause_seconds)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    model.record_batch(1, 1)
    model.pause(0)
    assert model.pause_seconds == 1
