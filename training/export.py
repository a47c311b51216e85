"""Writes a trained model to a folder, with int8 weights and a manifest of its files."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig

from lengthwise.models import manifest
from worker.engine.transformer.weights.checkpoint import load_state, save_int8

WEIGHTS = "model.safetensors"
#: Not in the manifest: people may edit the model card.
UNLISTED = {manifest.MANIFEST, "README.md"}


def stored_state(model: Any) -> dict[str, torch.Tensor]:
    """Returns the state without what the config can rebuild: tied copies and sinusoidal position tables."""
    state: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen and name not in frozen:
            seen.add(tensor.data_ptr())
            state[name] = tensor
    return state


def export(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    save_int8(stored_state(model), folder / WEIGHTS)
    manifest.write(folder, sorted(path.name for path in folder.iterdir() if path.name not in UNLISTED))


def load(model_class: Any, folder: Path) -> tuple[Any, Tokenizer]:
    """Loads an exported model for evaluation, its int8 weights expanded to fp32."""
    model = model_class.from_pretrained(
        None,
        config=model_class.config_class.from_pretrained(folder),
        state_dict=load_state([folder / WEIGHTS]),
        dtype=torch.float32,
    )
    if model.can_generate():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))
