"""The files of a model's weights. Engines load only safetensors, because pickled weights can run code."""

from pathlib import Path

from lengthwise.errors import ConfigurationError
from lengthwise.models import model_file

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
#: The weights that the engine ``ctranslate2`` loads instead.
CTRANSLATE2 = "ctranslate2/model.bin"
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
        return [folder / name for name in shards(folder, INDEX, ".safetensors")]
    if has_pickles(folder):
        raise ConfigurationError(
            f"{folder} holds pickled weights, which can run code: import it with lengthwise model add"
        )
    raise ConfigurationError(f"{folder} holds neither {WEIGHTS} nor {INDEX}")


def weights_bytes(folder: Path) -> int:
    """The size of a model's weight files. Raises ``ConfigurationError`` as ``weight_files`` does, and ``OSError``."""
    return sum(path.stat().st_size for path in weight_files(folder))


def shards(folder: Path, index: str, suffix: str) -> list[str]:
    """The weight files that an index lists. Raises ``ConfigurationError`` for others than of its folder and suffix."""
    places = model_file.read_json(folder, index, dict).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ConfigurationError(f"{index} lists no files")
    names = sorted(set(places.values()))
    if any(Path(name).name != name or not name.endswith(suffix) for name in names):
        raise ConfigurationError(f"{index} names a file that is not a {suffix} file of its folder")
    if not names:
        raise ConfigurationError(f"{index} lists no files")
    return names
