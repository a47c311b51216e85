"""Weights that were published in a quantized form, by what ``config.json`` and the files beside it say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Methods whose weights transformers turns back into floating point without their makers' packages.
DEQUANTIZED = frozenset({"fp8", "mxfp4"})
#: The package that transformers needs for that, and the extra that installs it.
PACKAGE, EXTRA = "accelerate", "import"

#: Files of tools that write nothing of their method into ``config.json``.
_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq", "hf_quant_config.json": "modelopt"}
_LONGEST_NAME = 40
#: How people write the methods.
_NAMES = {
    "gptq": "GPTQ",
    "awq": "AWQ",
    "bitsandbytes": "bitsandbytes",
    "exl2": "EXL2",
    "exl3": "EXL3",
    "hqq": "HQQ",
    "aqlm": "AQLM",
    "mlx": "MLX",
    "fp8": "FP8",
    "mxfp4": "MXFP4",
}

REMEDY = "take the model in its original form, which the README.md of this one names as its base model"


def method(config: Mapping[str, Any]) -> str | None:
    """How the weights are quantized, as ``config.json`` says; None if they are not."""
    inner = config.get("text_config")
    for table in (config, inner if isinstance(inner, Mapping) else {}):
        for key in ("quantization_config", "compression_config"):
            if isinstance(found := table.get(key), Mapping) and found:
                return _name(found)
        if isinstance(found := table.get("quantization"), Mapping) and "group_size" in found:
            return "mlx"
    return None


def _name(table: Mapping[str, Any]) -> str:
    if table.get("load_in_4bit") or table.get("load_in_8bit"):  # which the first files of bitsandbytes say alone
        return "bitsandbytes"
    found = str(table.get("quant_method") or "")
    return found.lower() if found and len(found) <= _LONGEST_NAME and found.isprintable() else "an unknown method"


def unreadable(config: Mapping[str, Any], folder: Path) -> str | None:
    """The method's name as people write it, if the weights of ``folder`` are quantized and cannot be read."""
    found = method(config)
    if found is None:
        found = next((made_by for name, made_by in _FILES.items() if (folder / name).is_file()), None)
    return None if found is None or found in DEQUANTIZED else _NAMES.get(found, found)


def reason(name: str) -> str:
    """Why such a model cannot be served."""
    return f"its weights are quantized by {name}, which lengthwise does not read"
