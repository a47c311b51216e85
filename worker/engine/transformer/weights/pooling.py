"""How the vectors of a text's tokens become one: as the model's folder says in the files of sentence-transformers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from lengthwise.errors import ConfigurationError
from lengthwise.models import json_file

_MODULES, _POOLING = "modules.json", "1_Pooling/config.json"
#: What is read here, where it is there.
FILES = (_MODULES, _POOLING)

_FLAGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True, slots=True)
class Pooling:
    """``mean`` of all tokens, special ones included, or the first one's (``cls``); then, perhaps, of length 1."""

    mode: str = "mean"
    normalizes: bool = False

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Without files the mean as it is. Raises ``ConfigurationError`` for what they ask and is not done here."""
        if not (folder / _MODULES).is_file():
            return cls()
        types = [_type(module) for module in json_file.read_json(folder / _MODULES, list)]
        if types not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise ConfigurationError(f"{folder / _MODULES} asks for more than pooling and normalizing")
        return cls(_mode(folder / _POOLING), types[-1] == "Normalize")

    def pooled(self, hidden: torch.Tensor) -> torch.Tensor:
        """One text's vectors ``[tokens, size]`` → ``[size]``, fp32."""
        vector = hidden[0].float() if self.mode == "cls" else hidden.float().mean(dim=0)
        return torch.nn.functional.normalize(vector, dim=0) if self.normalizes else vector


def _type(module: Any) -> str:
    """The last part of a module's type, such as ``Pooling``."""
    return str(module.get("type")).rpartition(".")[2] if isinstance(module, dict) else ""


def _mode(path: Path) -> str:
    """The mode that ``pooling_mode`` names, or whose flag is set."""
    config = json_file.read_json(path, dict)
    asked = [config["pooling_mode"]] if "pooling_mode" in config else []
    asked += [_FLAGS.get(name) for name in config if name.startswith("pooling_mode_") and config[name] is True]
    if len(asked) != 1 or asked[0] not in _FLAGS.values():
        raise ConfigurationError(f"{path} asks for a pooling other than mean or cls")
    return str(asked[0])
