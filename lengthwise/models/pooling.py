"""How the vectors of a text's tokens become one vector, as sentence-transformers' files in the folder say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lengthwise.errors import ConfigurationError
from lengthwise.models import model_file

MODULES, _POOLING = "modules.json", "1_Pooling/config.json"
#: The files that this module reads, if they exist.
FILES = (MODULES, _POOLING)

_FLAGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


@dataclass(frozen=True, slots=True)
class Pooling:
    """``mean`` averages all tokens, special ones included; ``cls`` takes the first; ``normalizes`` to length 1."""

    mode: str = "mean"
    normalizes: bool = False

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the files; without them it is the mean. Raises ``ConfigurationError`` for unsupported settings."""
        if not (folder / MODULES).is_file():
            return cls()
        types = [_type(module) for module in model_file.read_json(folder, MODULES, list)]
        if types not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            raise ConfigurationError(f"{folder / MODULES} asks for more than pooling and normalizing")
        return cls(_mode(folder), types[-1] == "Normalize")


def _type(module: Any) -> str:
    """The last part of a module's type, such as ``Pooling``."""
    return str(module.get("type")).rpartition(".")[2] if isinstance(module, dict) else ""


def _mode(folder: Path) -> str:
    """The mode, which the file gives by name or as a flag. Raises ``ConfigurationError`` unless it is mean or cls."""
    config = model_file.read_json(folder, _POOLING, dict)
    modes = [config["pooling_mode"]] if "pooling_mode" in config else []
    modes += [_FLAGS.get(name) for name in config if name.startswith("pooling_mode_") and config[name] is True]
    if len(modes) != 1 or modes[0] not in list(_FLAGS.values()):
        raise ConfigurationError(f"{_POOLING} asks for a pooling other than mean or cls")
    return str(modes[0])
