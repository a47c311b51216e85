"""A renewed model of torch: the old one's memory is free, though the collector was told to spare it."""

import gc
from collections.abc import Iterator
from pathlib import Path
from weakref import ref

import pytest
import torch

from lengthwise import settings
from tests.engine import tiny
from tests.engine.conftest import Written
from worker.engine.transformer.torch_engine import TorchEngine
from worker.generation import model_reload, models
from worker.generation.gc_tuning import collect_seldom


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A ``models.toml`` that is looked at all the time, of nothing so far."""
    path = tmp_path / "models.toml"
    monkeypatch.setenv("LENGTHWISE_MODELS", str(path))
    monkeypatch.setenv("LENGTHWISE_MODELS_SECONDS", "1e-9")
    settings.get.cache_clear()
    models.forget()
    thresholds = gc.get_threshold()
    yield path
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    models.forget()
    settings.get.cache_clear()


def name(catalog: Path, folder: Path, more: str = "") -> None:
    catalog.write_text(f'[models.tiny]\npath = "{folder}"\ndevice = "cpu"\n{more}[models.tiny.generate]\n')


def held() -> TorchEngine:
    engine = models.model("tiny").engine
    assert isinstance(engine, TorchEngine)
    return engine


@pytest.mark.parametrize("kind", ["llama", "marian"])
def test_the_old_ones_weights_are_freed(catalog: Path, written: Written, kind: str) -> None:
    name(catalog, written(kind)[1], 'quantization = "none"\n')
    list(held().generate(tiny.requests()))
    collect_seldom()
    modules = [ref(module) for module in held().model.modules()]
    assert len(modules) > 10
    name(catalog, written(kind)[1], 'quantization = "bf16"\n')
    model_reload.renew()
    assert [module() for module in modules if module() is not None] == []
    assert {weight.dtype for weight in held().model.parameters()} == {torch.bfloat16}
    assert len(list(held().generate(tiny.requests()))) == len(tiny.requests())


def test_weights_that_do_not_fit_leave_the_old_ones(catalog: Path, llama: Path, written: Written) -> None:
    name(catalog, written("llama")[1])
    before = held()
    tiny.edit_config(llama, num_hidden_layers=3)
    (llama / "manifest.json").unlink()
    name(catalog, llama)
    model_reload.renew()
    assert held() is before
