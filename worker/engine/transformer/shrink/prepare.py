"""Writes a smaller version of a model into a new folder: layers dropped, weights 2:4 sparse, matrices as int8 rows."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest, model_file, weights
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.published import licence, quantized
from worker.engine.transformer.shrink import prune
from worker.engine.transformer.weights import loading
from worker.engine.transformer.weights.checkpoint import save, save_int8
from worker.engine.transformer.weights.finite import refuse_infinite

#: The files that are copied beside the weights, if they exist.
_COPIED = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    # Those of sentence-transformers: how an embedder's vectors are pooled.
    *model_file.VECTOR_FILES,
    "2_Normalize/config.json",
    "config_sentence_transformers.json",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done to the model."""

    #: ``int8`` stores matrices as int8 rows; ``none`` leaves them as they are.
    quantize: str = "int8"
    #: How many layers each stack keeps; an empty name stands for every stack. Empty: all layers stay.
    layers: Mapping[str, int] = field(default_factory=dict)
    #: ``2:4``, or ``None`` for dense weights.
    sparsity: str | None = None

    @property
    def prunes(self) -> bool:
        """Whether weights are removed, and not only quantized."""
        return bool(self.layers) or self.sparsity is not None


def write(spec: ModelSpec, recipe: Recipe, folder: Path) -> dict[str, list[int]]:
    """Writes the prepared model into ``folder``, which exists and is empty.

    Returns the layers that stayed, by stack, or nothing if none was dropped. The same model and recipe give the same
    bytes. Raises ``ConfigurationError`` if the model's files are refused or it cannot be pruned this way,
    and ``EngineError`` if its weights are damaged or cannot be written.
    """
    if quantized.method(spec.config) is not None:
        raise ConfigurationError(f"model {spec.name}: its weights are quantized already: import it first")
    state = loading.load_weights(spec)
    refuse_infinite(state)
    config, keep = spec.config, {}
    if recipe.layers:
        keep = prune.layers_to_keep(config, state, recipe.layers)
        config, state = prune.drop_layers(_with_layer_types(spec), state, keep)
    if recipe.sparsity:
        prune.layer_stacks(config)  # refuses unknown architectures: their matrices may be transposed
        state = prune.sparsify(state)
    if recipe.quantize == "int8":
        save_int8(state, folder / weights.WEIGHTS, keeps_zeros=recipe.sparsity is not None)
    else:
        save(state, folder / weights.WEIGHTS)
    config = {key: value for key, value in config.items() if key != "auto_map"}
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    templates = sorted((spec.folder / model_file.TEMPLATES).glob("*.jinja"))
    _copy(spec.folder, folder, [*_COPIED, *(path.relative_to(spec.folder).as_posix() for path in templates)])
    _copy(spec.folder, folder, licence.files(spec.folder))
    manifest.write(folder, sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    return keep


def _with_layer_types(spec: ModelSpec) -> dict[str, Any]:
    """``config.json`` with the kind of each layer written out.

    transformers may derive a layer's kind (sliding or full attention) from its number, and dropping layers changes the
    numbers.
    """
    types = getattr(loading.load_config(spec), "layer_types", None)
    return spec.config | ({"layer_types": list(types)} if types else {})


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    for name in names:
        if (source / name).is_file():
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, target / name)
