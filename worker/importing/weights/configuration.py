"""A published model's ``config.json``: refused if it cannot be served, and written without what is not obeyed."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from lengthwise.errors import ConfigurationError
from lengthwise.models import architecture, model_shapes
from lengthwise.models.published import quantized
from lengthwise.models.published.naming import said

#: Keys that are left out: code of the folder, and how weights were quantized that are so no more.
_CODE = "auto_map"
_QUANTIZATION = ("quantization_config", "compression_config")


def read(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model that can be served. Raises ``ConfigurationError``, which says why it cannot."""
    config = model_shapes.read_config(folder)
    model_shapes.read_generation(folder)
    family, name = config.get("model_type"), architecture.class_name(config)
    if family not in CONFIG_MAPPING:
        code = ", and its own code is never run" if _CODE in config else ""
        raise ConfigurationError(f"it is of the family {said(family)}, which transformers does not know{code}")
    try:
        architecture.read(config, folder)
    except ConfigurationError as error:
        what = "lengthwise serves models that translate, chat, write, embed or classify texts"
        raise ConfigurationError(f"{error}: {what}") from None
    if not hasattr(transformers, name):
        code = ": it is code of the folder, which is never run" if _CODE in config else ""
        raise ConfigurationError(f"transformers has no architecture {said(name)}{code}")
    if (made_by := quantized.unreadable(config, folder)) is not None:
        raise ConfigurationError(f"{quantized.reason(made_by)}: {quantized.REMEDY}")
    if is_quantized(config):
        need(quantized.PACKAGE, "quantized weights")
    return config


def is_quantized(config: Mapping[str, Any]) -> bool:
    return quantized.method(config) is not None


def need(package: str, what: str) -> None:
    """Raises ``ConfigurationError`` if a package that only imports need is not installed."""
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(f"{what} need {package}: pip install 'lengthwise[{quantized.EXTRA}]'")


def place(source: Path, folder: Path, config: Mapping[str, Any]) -> None:
    """Links ``config.json`` into the folder, or writes it if ``config`` is another; and ``generation_config.json``."""
    kept = _without_code(config)
    if (source / model_shapes.CONFIG).is_file() and kept == model_shapes.read_config(source):
        link(source / model_shapes.CONFIG, folder)
    else:
        (folder / model_shapes.CONFIG).write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
    if (source / model_shapes.GENERATION).is_file():
        link(source / model_shapes.GENERATION, folder)


def link(path: Path, folder: Path) -> None:
    """Makes the file part of the folder, under its name. It stays where it is."""
    (folder / path.name).symlink_to(path.resolve())


def without_quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the same model with weights in floating point."""
    kept = {key: value for key, value in config.items() if key not in _QUANTIZATION}
    if isinstance(inner := kept.get("text_config"), dict):
        kept["text_config"] = {key: value for key, value in inner.items() if key not in _QUANTIZATION}
    return kept


def _without_code(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_code(inner) for key, inner in value.items() if key != _CODE}
    return value
