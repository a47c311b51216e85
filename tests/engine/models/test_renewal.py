"""Reloading a model frees the old one's memory, even though the garbage collector was told to skip it."""

import gc
from collections.abc import Iterator
from pathlib import Path
from weakref import ref

import pytest
import torch

from lengthwise import settings
from tests.engine import tiny
from tests.engine.conftest import Written
from worker.engine.completions import completions
from worker.engine.transformer.engine import TorchEngine
from worker.generation.process_tuning import reduce_garbage_collection
from worker.process import Worker


@pytest.fixture
def worker(catalog: Path) -> Worker:
    return Worker()


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty ``models.toml`` that the worker checks before every batch."""
    path = tmp_path / "models.toml"
    monkeypatch.setenv("LENGTHWISE_MODELS", str(path))
    monkeypatch.setenv("LENGTHWISE_MODELS_SECONDS", "1e-9")
    settings.get.cache_clear()
    thresholds = gc.get_threshold()
    yield path
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    settings.get.cache_clear()


def name(catalog: Path, folder: Path, more: str = "") -> None:
    catalog.write_text(f'[models.tiny]\npath = "{folder}"\ndevice = "cpu"\n{more}[models.tiny.generate]\n')


def held(worker: Worker) -> TorchEngine:
    engine = worker.models.get("tiny").engine
    assert isinstance(engine, TorchEngine)
    return engine


@pytest.mark.parametrize("kind", ["llama", "marian"])
def test_the_old_ones_weights_are_freed(catalog: Path, written: Written, kind: str, worker: Worker) -> None:
    name(catalog, written(kind)[1], 'quantization = "none"\n')
    list(completions(held(worker), tiny.requests()))
    reduce_garbage_collection()
    modules = [ref(module) for module in held(worker).model.modules()]
    assert len(modules) > 10
    name(catalog, written(kind)[1], 'quantization = "bf16"\n')
    worker.reload.run()
    assert [module() for module in modules if module() is not None] == []
    assert {weight.dtype for weight in held(worker).model.parameters()} == {torch.bfloat16}
    assert len(list(completions(held(worker), tiny.requests()))) == len(tiny.requests())


def test_weights_that_do_not_fit_leave_the_old_ones(
    catalog: Path, llama: Path, written: Written, worker: Worker
) -> None:
    name(catalog, written("llama")[1])
    before = held(worker)
    tiny.edit_config(llama, num_hidden_layers=3)
    (llama / "manifest.json").unlink()
    name(catalog, llama)
    worker.reload.run()
    assert held(worker) is before
