"""The files of a model's weights. Only safetensors are accepted, because pickled weights can run code."""

import json
from pathlib import Path

from lengthwise.errors import ConfigurationError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def has_safetensors(folder: Path) -> bool:
    """Whether there are weights that may be loaded."""
    return (folder / WEIGHTS).is_file() or (folder / INDEX).is_file()


def has_pickles(folder: Path) -> bool:
    """Whether there are pickled weights."""
    return any(next(folder.glob(pattern), None) for pattern in _PICKLES)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises ``ConfigurationError`` if it has none, or pickled weights instead."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return [folder / name for name in _shards(folder / INDEX)]
    if has_pickles(folder):
        raise ConfigurationError(f"{folder} holds pickled weights, which can run code: convert them to {WEIGHTS}")
    raise ConfigurationError(f"{folder} holds neither {WEIGHTS} nor {INDEX}")


def _shards(index: Path) -> list[str]:
    """The weight files that an index lists; each must be a safetensors file of the same folder."""
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{index} cannot be read ({type(error).__name__})") from None
    if any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise ConfigurationError(f"{index} names a file that is not a safetensors file of its folder")
    return names
