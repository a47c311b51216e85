"""Makes a smaller model of a model: layers dropped, weights pruned, matrices as int8 rows, in a folder of its own."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lengthwise.models import manifest
from lengthwise.models.catalog import ModelSpec
from worker.engine.transformer.shrink import prune
from worker.engine.transformer.shrink.sparsity import sparsify
from worker.engine.transformer.weights import loading
from worker.engine.transformer.weights.checkpoint import save, save_int8

WEIGHTS = "model.safetensors"
#: What a model is read with beside its weights, where it is there.
_COPIED = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    #: ``int8`` rows, or ``none``: as the source has them.
    quantize: str = "int8"
    #: Layers that stay, by stack; under an empty name those of every stack. Empty: all of them.
    layers: Mapping[str, int] = field(default_factory=dict)
    #: ``2:4`` or nothing.
    sparsity: str | None = None

    @property
    def prunes(self) -> bool:
        return bool(self.layers) or self.sparsity is not None


def write(spec: ModelSpec, recipe: Recipe, folder: Path) -> dict[str, list[int]]:
    """Writes the prepared model into ``folder``, which is there and empty. Returns the layers that stayed, by stack;
    nothing where none was dropped.

    The same model and recipe give the same bytes. Raises ``ConfigurationError`` where the model must not be read or
    cannot be pruned this way.
    """
    state = loading.load_weights(spec)
    config, keep = spec.config, {}
    if recipe.layers:
        keep = prune.layers_to_keep(config, state, recipe.layers)
        config, state = prune.drop_layers(_with_layer_types(spec), state, keep)
    if recipe.sparsity:
        prune.layer_stacks(config)  # whose layers are not known may keep its weights the other way round
        state = sparsify(state)
    (save_int8 if recipe.quantize == "int8" else save)(state, folder / WEIGHTS)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    _copy(spec.folder, folder, _COPIED)
    manifest.write(folder, sorted(path.name for path in folder.iterdir()))
    return keep


def weights_bytes(folder: Path) -> int:
    """The size of a model's weights on disk."""
    return sum(path.stat().st_size for path in loading.weight_files(folder))


def _with_layer_types(spec: ModelSpec) -> dict[str, Any]:
    """What kind each layer is, where kinds differ, may follow from its number alone: it is written down before the
    numbers change.
    """
    types = getattr(loading.load_config(spec), "layer_types", None)
    return spec.config | ({"layer_types": list(types)} if types else {})


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
