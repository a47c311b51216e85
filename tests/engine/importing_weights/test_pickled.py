"""Pickled weights become safetensors in a child process, and nothing that they hold runs."""

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lengthwise.errors import InvalidInput
from tests.engine.importing_weights.published import assert_answers, pickled, published, supplied
from tests.engine.importing_weights.test_forms import refusal
from worker.importing.weights.written import write


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "ran"))


@pytest.mark.parametrize("kind", ["llama", "marian", "t5", "bert", "embed-xlm-roberta"])
@pytest.mark.parametrize(("shards", "is_old"), [(1, False), (1, True), (3, False)])
def test_pickled_weights_answer(kind: str, shards: int, is_old: bool, tmp_path: Path) -> None:
    model, source = published(kind, tmp_path / "m")
    pickled(source, model.state_dict(), shards=shards, is_old=is_old)
    before = sorted(path.name for path in source.iterdir())
    folder, warnings = supplied(source, tmp_path)
    assert warnings == []
    assert sorted(path.name for path in source.iterdir()) == before
    assert_answers(folder, model)


def test_a_tensor_with_several_names_is_written_once_and_keeps_its_precision(tmp_path: Path) -> None:
    model, source = published("bart", tmp_path / "m")
    pickled(source, model.half().state_dict())
    folder, _ = supplied(source, tmp_path)
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert names & {"lm_head.weight", "model.shared.weight", "model.encoder.embed_tokens.weight"} == {
        "model.shared.weight"
    }
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.float16}


def test_tensors_that_share_a_part_of_their_memory_are_all_written(tmp_path: Path) -> None:
    model, source = published("llama", tmp_path / "m")
    state = model.state_dict()
    names = [f"model.layers.{layer}.mlp.{name}_proj.weight" for layer in (0, 1) for name in ("gate", "up")]
    together = torch.cat([state[name] for name in names])
    state |= dict(zip(names, together.chunk(4), strict=True))
    pickled(source, state)
    folder, _ = supplied(source, tmp_path)
    assert_answers(folder, model)


def test_a_tensor_keeps_its_several_names_where_no_reader_would_tie_them(tmp_path: Path) -> None:
    model, source = published("gemma3_text", tmp_path / "m")
    model.lm_head.weight = model.model.embed_tokens.weight
    pickled(source, model.state_dict())
    folder, _ = supplied(source, tmp_path)
    stored = load_file(folder / "model.safetensors")
    assert torch.equal(stored["lm_head.weight"], stored["model.embed_tokens.weight"])


def test_a_disk_without_room_is_said_with_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9))
    with pytest.raises(InvalidInput, match=r"the disk has no room: 4.0 GB are needed, and 1.0 GB are free"):
        write({"a": torch.zeros(1).expand(10**9)}, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_old", [False, True])
def test_a_pickle_with_code_in_it_is_refused_and_never_runs(is_old: bool, tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    pickled(source, {"a": Evil(tmp_path / "ran")}, is_old=is_old)  # type: ignore[dict-item]
    said = refusal(source, tmp_path)
    assert said.startswith("pytorch_model.bin holds code, which was not run (it asks for ")
    assert said.endswith("take a copy of the model with model.safetensors")
    assert not (tmp_path / "ran").exists()


def test_a_plain_pickle_with_code_in_it_is_refused_and_never_runs(tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    (source / "model.safetensors").unlink()
    (source / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    assert refusal(source, tmp_path).startswith("pytorch_model.bin ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("keep", [0, 3, 200, -100])
def test_a_damaged_pickle_is_named(keep: int, tmp_path: Path) -> None:
    model, source = published("llama", tmp_path / "m")
    pickled(source, model.state_dict())
    content = (source / "pytorch_model.bin").read_bytes()
    (source / "pytorch_model.bin").write_bytes(content[:keep])
    said = refusal(source, tmp_path)
    assert said.startswith("pytorch_model.bin ") and said.endswith("copy or fetch it again")


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    model, source = published("llama", tmp_path / "m")
    pickled(source, model.state_dict(), shards=2)
    (source / "pytorch_model-00002-of-00002.bin").unlink()
    assert refusal(source, tmp_path).startswith("pytorch_model-00002-of-00002.bin, which its index lists, is missing")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": {"a": torch.zeros(1)}, "epoch": 3}, "holds more than tensors by their names"),
        ([torch.zeros(1)], "is no table of tensors"),
        ({}, "is no table of tensors"),
        ({"a": torch.zeros(3).to_sparse()}, "holds a in a form that is no plain tensor"),
        ({"a": torch.zeros(1).expand(1 << 30)}, "its tensors are larger than their file"),
    ],
)
def test_what_is_no_table_of_tensors_is_refused(content: Any, said: str, tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    (source / "model.safetensors").unlink()
    torch.save(content, source / "pytorch_model.bin")
    assert said in refusal(source, tmp_path)


def test_an_archive_that_unpacks_to_more_than_its_size_explains_is_refused(tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    (source / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1 << 28, dtype=torch.uint8)}, tmp_path / "whole.bin")
    with (
        zipfile.ZipFile(tmp_path / "whole.bin") as whole,
        zipfile.ZipFile(source / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    assert (source / "pytorch_model.bin").stat().st_size < 1 << 22
    assert refusal(source, tmp_path)
