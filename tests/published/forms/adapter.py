"""A LoRA adapter: two small matrices for some layers of another repository's model."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.published.forms.card import Part

_RANK, _ALPHA = 8, 16
_MODULES = ("q_proj", "v_proj")


def write(config: dict[str, Any], base: str) -> Part:
    """An adapter of the attention of a decoder with this config, whose repository is ``base``."""

    def part(folder: Path) -> None:
        hidden = config["hidden_size"]
        outer = {"q_proj": hidden, "v_proj": hidden // config["num_attention_heads"] * config["num_key_value_heads"]}
        draw = torch.Generator().manual_seed(6)
        tensors = {}
        for layer in range(config["num_hidden_layers"]):
            for module in _MODULES:
                name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
                tensors[f"{name}.lora_A.weight"] = torch.randn(_RANK, hidden, generator=draw) / hidden**0.5
                tensors[f"{name}.lora_B.weight"] = torch.randn(outer[module], _RANK, generator=draw) / _RANK**0.5
        save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
        (folder / "adapter_config.json").write_text(json.dumps(_config(base), indent=2))

    return part


def _config(base: str) -> dict[str, Any]:
    return {
        "alpha_pattern": {}, "auto_mapping": None, "base_model_name_or_path": base, "bias": "none",
        "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, "layers_to_transform": None,
        "lora_alpha": _ALPHA, "lora_dropout": 0.05, "modules_to_save": None, "peft_type": "LORA", "r": _RANK,
        "rank_pattern": {}, "revision": None, "target_modules": list(_MODULES), "task_type": "CAUSAL_LM",
        "use_dora": False, "use_rslora": False,
    }  # fmt: skip


def merged(folder: Path, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of the adapter's base with the adapter added, as PEFT's ``merge_and_unload`` does: W + α/r · B A."""
    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    found = dict(weights)
    for name, down in tensors.items():
        if name.endswith(".lora_A.weight"):
            target = name.removeprefix("base_model.model.").replace(".lora_A.weight", ".weight")
            up = tensors[name.replace(".lora_A.", ".lora_B.")]
            found[target] = found[target] + config["lora_alpha"] / config["r"] * (up @ down)
    return found
