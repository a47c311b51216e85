"""The layers behind an embedder's pooling are imported as its weights are, and nothing that they hold runs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lengthwise.errors import ConfigurationError
from tests.engine.decode.test_pooling import dense, vectors, written
from tests.engine.importing_weights.test_pickled import Evil
from worker.importing.bring import bring
from worker.importing.weights.supply import supply


def with_layers(folder: Path, *, is_old: bool = False) -> Path:
    """An embedder with two layers behind its pooling, of which the second has no bias. They are pickled."""
    folder.mkdir()
    written("bert", folder, "Dense", "Dense", "Normalize", pooling_mode_mean_tokens=True)
    dense(folder, "2_Dense", 64, 96, "torch.nn.modules.activation.Tanh")
    dense(folder, "3_Dense", 96, 48, "torch.nn.modules.linear.Identity", has_bias=False)
    for name in ("2_Dense", "3_Dense"):
        path = folder / name / "model.safetensors"
        torch.save(load_file(path), path.with_name("pytorch_model.bin"), _use_new_zipfile_serialization=not is_old)
    return folder


@pytest.mark.parametrize("is_old", [True, False])
def test_pickled_layers_behind_a_pooling_become_safetensors(is_old: bool, tmp_path: Path) -> None:
    source = with_layers(tmp_path / "m", is_old=is_old)
    expected = vectors(source)
    for name in ("2_Dense", "3_Dense"):
        (source / name / "model.safetensors").unlink()
    folder = tmp_path / "imported"
    folder.mkdir()
    bring(str(source), None, folder)
    assert sorted(path.name for path in (folder / "2_Dense").iterdir()) == ["config.json", "model.safetensors"]
    assert not list(folder.rglob("*.bin"))
    assert torch.equal(vectors(folder), expected)


def test_a_layer_that_is_safetensors_too_is_linked_and_its_pickle_is_not_read(tmp_path: Path) -> None:
    source = with_layers(tmp_path / "m")
    torch.save(Evil(tmp_path / "ran"), source / "2_Dense" / "pytorch_model.bin")
    folder = tmp_path / "imported"
    folder.mkdir()
    bring(str(source), None, folder)
    assert (folder / "2_Dense" / "model.safetensors").readlink() == source / "2_Dense" / "model.safetensors"
    assert not list(folder.rglob("*.bin"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("code", "2_Dense: pytorch_model.bin holds code, which was not run (it asks for "),
        ({"linear.weight": torch.zeros(1).expand(1 << 30)}, "2_Dense: its tensors are larger than their file"),
        ([torch.zeros(1)], "2_Dense: pytorch_model.bin is no table of tensors"),
        (b"", "2_Dense: pytorch_model.bin is empty: copy or fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "2_Dense: pytorch_model.bin is only git's pointer"),
        (b"PK\x03\x04", "2_Dense: pytorch_model.bin "),
    ],
)
def test_a_pickled_layer_that_is_no_layer_is_refused(content: Any, said: str, tmp_path: Path) -> None:
    source = with_layers(tmp_path / "m")
    (source / "2_Dense" / "model.safetensors").unlink()
    pickle_of_layer = source / "2_Dense" / "pytorch_model.bin"
    if isinstance(content, bytes):
        pickle_of_layer.write_bytes(content)
    else:
        torch.save({"linear.weight": Evil(tmp_path / "ran")} if content == "code" else content, pickle_of_layer)
    folder = tmp_path / "imported"
    folder.mkdir()
    with pytest.raises(ConfigurationError) as refused:
        supply(source, folder)
    assert str(refused.value).startswith(said) and str(refused.value).isprintable()
    assert not (tmp_path / "ran").exists()
