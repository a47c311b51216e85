"""Tiny models in the forms in which others publish theirs, and whether an imported one answers as transformers does."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lengthwise.models import manifest
from tests.engine import tiny
from tests.engine.decode.test_generation import greedy, run
from worker.importing.weights.supply import supply

State = dict[str, torch.Tensor]


def published(kind: str, folder: Path) -> tuple[Any, Path]:
    """transformers' model in memory, and its folder as a hub has it: without a manifest."""
    model = tiny.write(kind, folder)
    (folder / manifest.MANIFEST).unlink()
    return model, folder


def pickled(folder: Path, state: Mapping[str, torch.Tensor], *, shards: int = 1, is_old: bool = False) -> Path:
    """Replaces the folder's weights with pickled ones; ``is_old`` is the form of PyTorch before 1.6."""
    (folder / "model.safetensors").unlink()
    options: dict[str, Any] = {"_use_new_zipfile_serialization": not is_old}
    if shards == 1:
        torch.save(OrderedDict(state), folder / "pytorch_model.bin", **options)
        return folder
    places = {key: f"pytorch_model-{place % shards + 1:05}-of-{shards:05}.bin" for place, key in enumerate(state)}
    for name in set(places.values()):
        torch.save({key: state[key] for key in state if places[key] == name}, folder / name, **options)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def changed(folder: Path, change: Any) -> None:
    """Changes the tensors of a folder's safetensors file."""
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def supplied(source: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """The imported folder with a tokenizer beside, and the warnings."""
    folder = tmp_path / "imported"
    folder.mkdir()
    warnings = supply(source, folder)
    assert not [path.name for path in folder.iterdir() if path.is_dir()], "nothing but files may stay"
    tiny.write_tokenizer(folder)
    return folder, warnings


def assert_answers(folder: Path, model: Any) -> None:
    """The imported model answers in fp32 as transformers' ``model``: the same tokens, or scores within 1e-5."""
    engine, requests = tiny.load(folder), tiny.requests()
    found = run(engine, requests)
    if model.can_generate():
        expected = {request.id: greedy(model, request) for request in requests}
        assert len({token for tokens in expected.values() for token in tokens}) > 4, "the answers must vary"
        assert {number: completion.tokens for number, completion in found.items()} == expected
        return
    with torch.inference_mode():
        for request in requests:
            made = model(torch.tensor([request.tokens]))
            if "logits" in made:
                logits = made.logits[0]
                multi = model.config.problem_type == "multi_label_classification"
                scores = torch.sigmoid(logits) if multi else torch.softmax(logits, dim=0)
                assert found[request.id].scores == pytest.approx(scores.tolist(), abs=1e-5)
            else:
                vector = made.last_hidden_state[0].mean(dim=0)
                assert found[request.id].vector == pytest.approx(vector.tolist(), abs=1e-5)
