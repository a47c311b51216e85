"""Loads a model from its folder: only safetensors, checked against the manifest, without network or foreign code."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import inspect
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import Architecture, EngineError
from worker.engine.transformer.weights import pooling
from worker.engine.transformer.weights.checkpoint import load_state

log = logging.getLogger(__name__)

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
#: The files that the engine reads beside the weights, if they exist.
_BESIDE = ("config.json", "generation_config.json", "tokenizer.json", _INDEX, *pooling.FILES)


def architecture(spec: ModelSpec) -> Architecture:
    """The kind of model that ``config.json`` describes."""
    if _class_name(spec).endswith("ForSequenceClassification"):
        return Architecture.CLASSIFIER
    if _is_bare(spec):
        return Architecture.EMBEDDER
    return Architecture.ENCODER_DECODER if spec.config.get("is_encoder_decoder") else Architecture.DECODER_ONLY


def _is_bare(spec: ModelSpec) -> bool:
    """Whether the model is an encoder without a task head, and so an embedder. A bare encoder–decoder is none."""
    bare = MODEL_MAPPING_NAMES.get(str(spec.config.get("model_type")), ())
    return not spec.config.get("is_encoder_decoder") and _class_name(spec) in (
        (bare,) if isinstance(bare, str) else bare
    )


def load_model(spec: ModelSpec, dtype: torch.dtype, attention: str | None) -> Any:
    """Loads the model in evaluation mode on the CPU, with every parameter from its files.

    ``attention`` names the attention implementation; ``None`` leaves it to transformers. Raises ``ConfigurationError``
    if something is wrong with the folder, and ``EngineError`` if the weights do not match ``config.json``.
    """
    state = load_weights(spec)
    return _build(spec, load_config(spec), state, dtype, attention)


def load_config(spec: ModelSpec) -> Any:
    """transformers' configuration object for ``config.json``. Raises ``ConfigurationError`` for foreign code."""
    _refuse_foreign_code(spec)
    return transformers.AutoConfig.from_pretrained(spec.folder, local_files_only=True, trust_remote_code=False)


def load_weights(spec: ModelSpec) -> dict[str, torch.Tensor]:
    """Checks the files against the manifest and reads the tensors by name, int8 rows expanded to fp32.

    Raises ``ConfigurationError`` if something is wrong with the folder.
    """
    _refuse_foreign_code(spec)
    weights = weight_files(spec.folder)
    _verify(spec.folder, [path.name for path in weights])
    try:
        return load_state(weights)
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(f"model {spec.name}: its weights cannot be read ({type(error).__name__})") from None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises ``ConfigurationError`` if it has none, or pickled weights instead."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if (folder / _INDEX).is_file():
        return [folder / name for name in _shards(folder / _INDEX)]
    if any(next(folder.glob(pattern), None) for pattern in _PICKLES):
        raise ConfigurationError(f"{folder} holds pickled weights, which can run code: convert them to {_WEIGHTS}")
    raise ConfigurationError(f"{folder} holds neither {_WEIGHTS} nor {_INDEX}")


def _shards(index: Path) -> list[str]:
    """The weight files that an index lists; each must be a safetensors file of the same folder."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{index} cannot be read ({type(error).__name__})") from None
    if any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise ConfigurationError(f"{index} names a file that is not a safetensors file of its folder")
    return names


def _verify(folder: Path, weights: Iterable[str]) -> None:
    if not (folder / manifest.MANIFEST).is_file():
        log.warning("%s has no %s: its files are loaded unchecked", folder, manifest.MANIFEST)
        return
    manifest.verify(folder, [*(name for name in _BESIDE if (folder / name).is_file()), *weights])


def _refuse_foreign_code(spec: ModelSpec) -> None:
    if "auto_map" in spec.config:
        raise ConfigurationError(f"model {spec.name}: its config.json asks for code of its own (auto_map)")


def _class_name(spec: ModelSpec) -> str:
    names = spec.config.get("architectures") or [""]
    return str(names[0])


def _build(
    spec: ModelSpec, config: Any, state: dict[str, torch.Tensor], dtype: torch.dtype, attention: str | None
) -> Any:
    kind = getattr(transformers, _class_name(spec), None)
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise ConfigurationError(f"model {spec.name}: transformers has no architecture {_class_name(spec)!r}")
    showing = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        # Without a folder or a hub name, every weight comes from ``state``.
        options: dict[str, Any] = {
            "attn_implementation": attention,
            "dtype": dtype,
            "local_files_only": True,
            "use_safetensors": True,
        }
        if _is_bare(spec) and "add_pooling_layer" in inspect.signature(kind.__init__).parameters:
            # BERT's pooler is not used for sentence vectors, and some folders lack its weights.
            options["add_pooling_layer"] = False
            state = {name: tensor for name, tensor in state.items() if not name.startswith("pooler.")}
        loaded: Any = kind.from_pretrained(None, config=config, state_dict=state, output_loading_info=True, **options)
    finally:
        if showing:
            transformers_logging.enable_progress_bar()
    model, report = loaded
    _refuse_gaps(spec, report)
    return model.eval().requires_grad_(False)


def _refuse_gaps(spec: ModelSpec, report: dict[str, Any]) -> None:
    """Raises ``EngineError`` if weights are missing, unknown or of a wrong shape.

    transformers' report already leaves out the keys that are tied to others or computed.
    """
    for trouble in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if found := report[trouble]:
            names = trouble.replace("_", " ")
            raise EngineError(f"model {spec.name}: its weights do not fit its config.json: {len(found)} {names}")
