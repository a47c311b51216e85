"""LoRA adapters are merged as peft merges them, and what cannot be merged is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.importing_weights.published import assert_answers, published, supplied
from tests.engine.importing_weights.test_forms import refusal
from worker.importing.weights.merged import merge

_QUERY = "model.layers.0.self_attn.q_proj"


def adapter(folder: Path, base: Path | str, tensors: dict[str, torch.Tensor] | None = None, **config: Any) -> Path:
    """Writes an adapter of the base model, by default of one layer's queries with rank 4."""
    folder.mkdir()
    if tensors is None:
        generator = torch.Generator().manual_seed(4)
        shapes = {"lora_A": (4, 128), "lora_B": (128, 4)}
        tensors = {
            f"base_model.model.{_QUERY}.{name}.weight": torch.randn(shape, generator=generator)
            for name, shape in shapes.items()
        }
    save_file(tensors, folder / "adapter_model.safetensors")
    known = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(base),
        "r": 4,
        "lora_alpha": 8,
        "task_type": "CAUSAL_LM",
    }
    (folder / "adapter_config.json").write_text(json.dumps(known | config))
    return folder


@pytest.mark.parametrize(("is_rooted", "scale"), [(False, 2.0), (True, 4.0)])
@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_merged_matrix_is_that_of_the_formula(
    is_rooted: bool, scale: float, is_transposed: bool, dtype: torch.dtype
) -> None:
    weight, down, up = torch.randn(24, 16).to(dtype), torch.randn(4, 16), torch.randn(24, 4)
    state = {"a.weight": weight.T.contiguous() if is_transposed else weight.clone()}
    changes = {"base_model.model.a.lora_A.weight": down, "base_model.model.a.lora_B.weight": up}
    merge(state, changes, 8.0, is_rooted=is_rooted, is_transposed=is_transposed)
    found = state["a.weight"].T if is_transposed else state["a.weight"]
    expected = weight.double() + scale * (up.double() @ down.double())
    assert found.dtype == dtype
    assert torch.allclose(found.double(), expected, rtol=0 if dtype is torch.float32 else 2**-7, atol=1e-5)


def _peft(name: str) -> Callable[..., Any]:
    return getattr(pytest.importorskip("peft"), name)  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {"target_modules": ["q_proj", "v_proj", "down_proj"], "r": 4, "lora_alpha": 16}),
        ("llama", {"target_modules": "all-linear", "r": 8, "lora_alpha": 4, "use_rslora": True}),
        ("qwen3", {"target_modules": ["q_proj", "embed_tokens"], "r": 4, "rank_pattern": {"q_proj": 2}}),
        ("qwen2", {"target_modules": ["o_proj"], "modules_to_save": ["lm_head", "embed_tokens"]}),
        ("qwen2", {"target_modules": ["q_proj"], "bias": "all"}),
        ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
        ("bart", {"target_modules": ["q_proj", "fc1"], "task_type": "SEQ_2_SEQ_LM"}),
        ("bert", {"target_modules": ["query"], "task_type": "SEQ_CLS"}),
    ],
)
def test_a_merged_adapter_answers_as_that_of_peft(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    model, base = published(kind, tmp_path / "base")
    config = _peft("LoraConfig")(**{"task_type": "CAUSAL_LM"} | options)
    made = _peft("get_peft_model")(model, config)
    torch.manual_seed(5)
    for name, parameter in made.named_parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn_like(parameter) * (0.3 if "lora" in name else 0.05)
    made.peft_config["default"].base_model_name_or_path = str(base)
    made.save_pretrained(tmp_path / "adapter")
    folder, _ = supplied(tmp_path / "adapter", tmp_path)
    assert_answers(folder, made.merge_and_unload())


def test_an_adapter_changes_the_answers_of_its_base_and_leaves_its_files(tmp_path: Path) -> None:
    _, base = published("llama", tmp_path / "base")
    before = (base / "model.safetensors").read_bytes()
    folder, warnings = supplied(adapter(tmp_path / "a", base), tmp_path)
    old, new = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    assert warnings == []
    assert {name for name in new if not torch.equal(old[name], new[name])} == {f"{_QUERY}.weight"}
    assert (base / "model.safetensors").read_bytes() == before


def test_a_pickled_adapter_is_merged_too(tmp_path: Path) -> None:
    _, base = published("llama", tmp_path / "base")
    source = adapter(tmp_path / "a", base)
    torch.save(load_file(source / "adapter_model.safetensors"), source / "adapter_model.bin")
    (source / "adapter_model.safetensors").unlink()
    folder, _ = supplied(source, tmp_path)
    assert not torch.equal(*(load_file(each / "model.safetensors")[f"{_QUERY}.weight"] for each in (base, folder)))


def test_a_base_model_that_is_not_here_is_said_with_the_command_that_fetches_it(
    tmp_path: Path,
) -> None:
    said = refusal(adapter(tmp_path / "a", "someone/base", revision="v2; true"), tmp_path)
    fetch = "fetch it: hf download someone/base --revision 'v2; true'"
    assert said == f"it is a LoRA adapter of someone/base, which is not on this machine; {fetch}"
    assert "correct adapter_config.json" in refusal(adapter(tmp_path / "b", "a/b/c"), tmp_path)


def test_a_base_model_is_found_in_the_local_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, commit = tmp_path / "hub" / "models--someone--base", "a" * 40
    published("llama", place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder, _ = supplied(adapter(tmp_path / "a", "someone/base"), tmp_path)
    assert (folder / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "of the type IA3: only LoRA is merged"),
        ({"use_dora": True}, "asks for use_dora"),
        ({"alpha_pattern": {"q_proj": 2}}, "asks for alpha_pattern"),
        ({"lora_bias": True}, "asks for lora_bias"),
        ({"init_lora_weights": "pissa"}, "asks for init_lora_weights"),
        ({"trainable_token_indices": [1]}, "asks for trainable_token_indices"),
        ({"base_model_name_or_path": None}, "base_model_name_or_path has a value of a wrong type"),
    ],
)
def test_what_is_not_merged_is_refused_by_name(config: dict[str, Any], said: str, tmp_path: Path) -> None:
    _, base = published("llama", tmp_path / "base")
    assert said in refusal(adapter(tmp_path / "a", base, **config), tmp_path)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"lora_A": torch.zeros(4, 128)}, "and no base_model.model.model.layers.0"),
        ({"lora_A": torch.zeros(4, 96), "lora_B": torch.zeros(128, 4)}, "is 128×96 there, and 128×128 in the base"),
        ({"lora_A": torch.zeros(4, 128), "lora_B": torch.zeros(128, 3)}, "do not fit each other"),
    ],
)
def test_tensors_that_do_not_fit_the_base_are_named(
    tensors: dict[str, torch.Tensor], said: str, tmp_path: Path
) -> None:
    _, base = published("llama", tmp_path / "base")
    named = {f"base_model.model.{_QUERY}.{name}.weight": tensor for name, tensor in tensors.items()}
    assert said in refusal(adapter(tmp_path / "a", base, named), tmp_path)


def test_a_module_that_the_base_lacks_is_named(tmp_path: Path) -> None:
    _, base = published("llama", tmp_path / "base")
    named = {"base_model.model.model.layers.7.mlp.up_proj.lora_A.weight": torch.zeros(4, 128)}
    named["base_model.model.model.layers.7.mlp.up_proj.lora_B.weight"] = torch.zeros(128, 4)
    said = "changes model.layers.7.mlp.up_proj.weight, which its base model does not have"
    assert said in refusal(adapter(tmp_path / "a", base, named), tmp_path)


def test_an_adapter_of_an_adapter_and_one_beside_whole_weights_are_said(tmp_path: Path) -> None:
    _, base = published("llama", tmp_path / "base")
    first = adapter(tmp_path / "a", base)
    assert "it is an adapter itself" in refusal(adapter(tmp_path / "b", first), tmp_path)
    (base / "adapter_config.json").write_text("{}")
    _, [warning] = supplied(base, tmp_path)
    assert "is not merged" in warning
