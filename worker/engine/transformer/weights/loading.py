"""Loads a model from its folder: only safetensors, checked against the manifest, without network or foreign code."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import importlib.util
import inspect
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_MAPPING_NAMES,
)
from transformers.utils import logging as transformers_logging

from lengthwise.errors import ConfigurationError
from lengthwise.models import architecture as architectures
from lengthwise.models import manifest, model_file, pooling, text_part, weights
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.published import quantized
from worker.engine.protocol import Architecture
from worker.engine.transformer.weights.checkpoint import load_state
from worker.engine.transformer.weights.gaps import Gaps

log = logging.getLogger(__name__)
# Its lines go where those of this process go, in the same form.
transformers_logging.disable_default_handler()
transformers_logging.enable_propagation()


def architecture(spec: ModelSpec) -> Architecture:
    """The kind of model that ``config.json`` describes. Raises ``ConfigurationError`` if it is none that runs."""
    try:
        found = architectures.read(spec.config, spec.folder)
    except ConfigurationError as error:
        raise ConfigurationError(f"model {spec.name}: {error}") from None
    if found is Architecture.EMBEDDER and not (spec.folder / pooling.MODULES).is_file():
        _refuse_decoder(spec)
    return found


def _refuse_decoder(spec: ModelSpec) -> None:
    """``lengthwise.models.architecture`` knows the common decoders alone, as it does without transformers."""
    family = spec.config.get("model_type")
    if family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise ConfigurationError(f"model {spec.name}: a decoder without {pooling.MODULES} cannot serve as an embedder")


def load_model(spec: ModelSpec, dtype: torch.dtype, attention: str | None) -> Any:
    """Loads the model in evaluation mode on the CPU, with every parameter from its files.

    ``attention`` names the attention implementation; ``None`` leaves it to transformers. Raises ``ConfigurationError``
    if something is wrong with the folder, and ``EngineError`` if the weights do not match ``config.json``.
    """
    if not manifest.exists(spec.folder):
        log.warning("%s has no %s: its files are loaded unchecked", spec.folder, manifest.MANIFEST)
    config = load_config(spec)
    model, gaps = build(spec, config, load_weights(spec), dtype, attention)
    gaps.refuse(f"model {spec.name}")
    if gaps.unexpected:
        log.warning("model %s: %s", spec.name, gaps.unexpected_line())
    return model.eval().requires_grad_(False)


def load_config(spec: ModelSpec) -> Any:
    """transformers' configuration object for ``config.json``.

    Raises ``ConfigurationError`` for foreign code, and for quantized weights that cannot be read.
    """
    _refuse_foreign_code(spec)
    _refuse_quantized(spec)
    config = {key: value for key, value in spec.config.items() if key != "auto_map"}
    if isinstance(table := config.get("quantization_config"), dict):
        config["quantization_config"] = table | {"dequantize": True}
    with tempfile.TemporaryDirectory() as folder:  # transformers reads what was checked, and not the file again
        (Path(folder) / "config.json").write_text(json.dumps(config), "utf-8")
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_weights(spec: ModelSpec) -> dict[str, torch.Tensor]:
    """Checks the files against the manifest and reads the tensors by name, int8 rows expanded to fp32.

    Of a model that also reads images or sound, these are the tensors of its text part, under the names of that.
    Raises ``ConfigurationError`` if something is wrong with the folder.
    """
    _refuse_foreign_code(spec)
    model_file.verify(spec.folder)
    names = [path.name for path in weights.weight_files(spec.folder)]
    try:
        with manifest.opened(spec.folder, names) as files:
            return text_part.weights_of(load_state(files))
    except (OSError, SafetensorError) as error:
        why = type(error).__name__
        raise ConfigurationError(
            f"model {spec.name}: its weights cannot be read ({why}): copy or fetch them again"
        ) from None


def _refuse_foreign_code(spec: ModelSpec) -> None:
    if "auto_map" in spec.config and spec.config.get("model_type") not in CONFIG_MAPPING:
        raise ConfigurationError(f"model {spec.name}: its config.json asks for code of its own (auto_map)")


def _refuse_quantized(spec: ModelSpec) -> None:
    if (name := quantized.unreadable(spec.config, spec.folder)) is not None:
        raise ConfigurationError(f"model {spec.name}: {quantized.reason(name)}: {quantized.REMEDY}")
    if quantized.method(spec.config) is not None and importlib.util.find_spec(quantized.PACKAGE) is None:
        needed = f"needs {quantized.PACKAGE}: pip install 'lengthwise[{quantized.EXTRA}]'"
        raise ConfigurationError(f"model {spec.name}: its quantized form {needed}")


def _class_name(spec: ModelSpec) -> str:
    """The class to load: that of ``config.json``, or the bare one for an embedder published with another head."""
    name = architectures.class_name(spec.config)
    if name.endswith("Model") or architecture(spec) is not Architecture.EMBEDDER:
        return name
    bare = MODEL_MAPPING_NAMES.get(str(spec.config.get("model_type")), "")
    return bare if isinstance(bare, str) else bare[0]


def build(
    spec: ModelSpec, config: Any, state: dict[str, torch.Tensor], dtype: torch.dtype, attention: str | None
) -> tuple[Any, Gaps]:
    """The model with the tensors of ``state``, and where these do not fit it."""
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
            "ignore_mismatched_sizes": True,  # they are in the report, by which they are refused
            "local_files_only": True,
            "use_safetensors": True,
        }
        if architecture(spec) is Architecture.EMBEDDER:
            state = _without_head(state, kind.base_model_prefix)
            if "add_pooling_layer" in inspect.signature(kind.__init__).parameters:
                # BERT's pooler is not used for sentence vectors, and some folders lack its weights.
                options["add_pooling_layer"] = False
                state = {name: tensor for name, tensor in state.items() if not name.startswith("pooler.")}
        loaded: Any = kind.from_pretrained(None, config=config, state_dict=state, output_loading_info=True, **options)
    finally:
        if showing:
            transformers_logging.enable_progress_bar()
    model, report = loaded
    if architecture(spec) is Architecture.EMBEDDER:
        model.config.use_cache = False  # a decoder would keep the keys and values of a text that is read once
    return model, Gaps.of(report)


def _without_head(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors of the bare model, if ``state`` is that of a model with a head around it."""
    inner = {name.removeprefix(f"{prefix}."): each for name, each in state.items() if name.startswith(f"{prefix}.")}
    return inner or state
