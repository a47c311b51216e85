"""Safetensors are linked; what is missing, damaged or for other programs is said by its name."""

import json
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lengthwise.errors import ConfigurationError
from tests.engine import tiny
from tests.engine.importing_weights.published import assert_answers, changed, published, supplied
from worker.importing.weights.supply import supply


def refusal(source: Path, tmp_path: Path) -> str:
    """The one line with which the import is refused."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        supply(source, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shard(folder: Path) -> list[str]:
    """Spreads the weights over two files with an index; returns the files' names."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {key: f"model-{place % 2 + 1:05}-of-00002.safetensors" for place, key in enumerate(state)}
    for name in set(names.values()):
        save_file({key: state[key] for key in state if names[key] == name}, folder / name, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return sorted(set(names.values()))


@pytest.mark.parametrize("kind", ["llama", "marian", "roberta", "embed-bert", "deberta-v2"])
def test_safetensors_are_linked_and_answer(kind: str, tmp_path: Path) -> None:
    model, source = published(kind, tmp_path / "m")
    before = sorted(path.name for path in source.iterdir())
    folder, warnings = supplied(source, tmp_path)
    assert warnings == []
    assert (folder / "model.safetensors").readlink() == source / "model.safetensors"
    assert (folder / "config.json").readlink() == source / "config.json"
    assert sorted(path.name for path in source.iterdir()) == before
    assert_answers(folder, model)


def test_shards_are_linked_with_their_index(tmp_path: Path) -> None:
    model, source = published("qwen3", tmp_path / "m")
    names = shard(source)
    folder, warnings = supplied(source, tmp_path)
    assert warnings == []
    assert all((folder / name).is_symlink() for name in [*names, "model.safetensors.index.json"])
    assert_answers(folder, model)


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    (source / shard(source)[1]).unlink()
    assert "model-00002-of-00002.safetensors, which its index lists, is missing" in refusal(source, tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_file_that_is_half_there_is_named(keep: int, tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    content = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(content[:keep])
    assert refusal(source, tmp_path).startswith("model.safetensors is ")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_pointer_that_git_keeps_is_told_from_a_damaged_file(name: str, tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    (source / "model.safetensors").unlink()
    (source / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert f"{name} is only git's pointer to the file: fetch it with git lfs pull" == refusal(source, tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tf_model.h5", "TensorFlow only (tf_model.h5)"),
        ("flax_model.msgpack", "Flax only"),
        ("onnx/model.onnx", "ONNX only (onnx/model.onnx)"),
        ("openvino_model.xml", "OpenVINO only"),
        ("consolidated.00.pth", "other programs only (consolidated.00.pth)"),
        ("README.md", "it has no weights: neither model.safetensors nor pytorch_model.bin"),
    ],
)
def test_weights_for_other_programs_are_said(name: str, said: str, tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    (source / "model.safetensors").unlink()
    (source / name).parent.mkdir(exist_ok=True)
    (source / name).write_bytes(b"x")
    assert said in refusal(source, tmp_path)


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert "it is no model" in refusal(tmp_path / "m", tmp_path)
    with pytest.raises(ConfigurationError, match="neither a folder nor a GGUF file"):
        supply(tmp_path / "none", tmp_path)


@pytest.mark.parametrize(
    "name", ["roberta.pooler.dense.weight", "cls.predictions.bias", "model.layers.0.self_attn.rotary_emb.inv_freq_2"]
)
def test_tensors_that_the_model_does_not_have_are_a_warning_with_names(name: str, tmp_path: Path) -> None:
    model, source = published("roberta", tmp_path / "m")
    changed(source, lambda state: state.update({name: torch.zeros(3), "more.a": torch.zeros(3)}))
    folder, warnings = supplied(source, tmp_path)
    assert warnings == [f"2 of its tensors belong to no part of the model: {', '.join(sorted([name, 'more.a']))}"]
    assert_answers(folder, model)


def test_of_many_such_tensors_the_first_are_named_and_all_counted(tmp_path: Path) -> None:
    _, source = published("roberta", tmp_path / "m")
    changed(source, lambda state: state.update({f"x{at:02}": torch.zeros(1) for at in range(20)}))
    _, [warning] = supplied(source, tmp_path)
    assert warning.startswith("20 of its tensors") and warning.endswith("x00, x01, x02, x03 and 16 more")


def test_names_of_tensors_cannot_change_a_line_or_a_screen(tmp_path: Path) -> None:
    _, source = published("roberta", tmp_path / "m")
    changed(source, lambda state: state.update({"a\n\x1b[2J" + "x" * 999: torch.zeros(1)}))
    _, [warning] = supplied(source, tmp_path)
    assert warning.isprintable() and len(warning) < 300


def test_tensors_that_are_missing_are_named(tmp_path: Path) -> None:
    _, source = published("roberta", tmp_path / "m")
    changed(source, lambda state: state.pop("classifier.out_proj.weight"))
    assert refusal(source, tmp_path).endswith("do not fit its config.json: 1 are missing: classifier.out_proj.weight")


def test_a_wrong_shape_is_said_with_both_shapes(tmp_path: Path) -> None:
    _, source = published("roberta", tmp_path / "m")
    changed(source, lambda state: state.update({"classifier.out_proj.weight": torch.zeros(5, 64)}))
    said = "1 have a wrong shape: classifier.out_proj.weight (has 5×64, must have 3×64)"
    assert refusal(source, tmp_path).endswith(said)


@pytest.mark.parametrize("kind", ["token-bert", "question-bert", "bare-llama"])
def test_a_model_that_serves_nothing_is_refused_by_what_it_does(kind: str, tmp_path: Path) -> None:
    _, source = published(kind, tmp_path / "m")
    said = refusal(source, tmp_path)
    assert json.loads((source / "config.json").read_text())["architectures"][0] in said
    assert said.endswith("lengthwise serves models that translate, chat, write, embed or classify texts")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"], "num_mel_bins": 8}, "sound"),
        ({"model_type": "vit", "architectures": ["ViTForImageClassification"], "image_size": 8}, "images"),
        ({"model_type": "brand-new", "architectures": ["NewForCausalLM"]}, "brand-new, which transformers does not"),
        ({"model_type": "llama", "architectures": ["MyLlamaForCausalLM"]}, "no architecture MyLlamaForCausalLM"),
    ],
)
def test_models_of_other_things_are_refused_before_their_weights(config: object, said: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    assert said in refusal(tmp_path / "m", tmp_path)


def test_code_of_the_folder_is_left_out_where_transformers_knows_the_family(tmp_path: Path) -> None:
    model, source = published("phi3", tmp_path / "m")
    (source / "modeling_phi3.py").write_text("raise SystemExit('ran')")
    tiny.edit_config(source, auto_map={"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"})
    folder, _ = supplied(source, tmp_path)
    assert "auto_map" not in json.loads((folder / "config.json").read_text())
    assert_answers(folder, model)
    assert_answers(source, model)  # which serves without an import too


def test_code_of_the_folder_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    tiny.edit_config(source, model_type="chatglm", auto_map={"AutoModel": "modeling_chatglm.ChatGLM"})
    assert "which transformers does not know, and its own code is never run" in refusal(source, tmp_path)
    tiny.edit_config(source, model_type="llama", architectures=["OtherLlamaForCausalLM"])
    assert "it is code of the folder, which is never run" in refusal(source, tmp_path)
