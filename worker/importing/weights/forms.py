"""In which form a folder holds its weights. Opens none of them."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from lengthwise.errors import ConfigurationError
from lengthwise.models import weights
from lengthwise.models.published.naming import said

PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
ADAPTER = "adapter_config.json"
_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")

#: What other programs read, for the error.
_OTHERS = {
    "TensorFlow": ("tf_model*.h5", "saved_model.pb", "*.ckpt.index"),
    "Flax": ("flax_model*.msgpack",),
    "ONNX": ("*.onnx", "onnx/*.onnx"),
    "OpenVINO": ("openvino_model.xml", "openvino/*.xml"),
    "llama.cpp before GGUF": ("ggml-*.bin",),
    "CTranslate2": ("model.bin",),
    "Rust": ("rust_model.ot",),
    "other programs": ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.npz"),
}
_POINTER = b"version https://git-lfs"
AGAIN = "copy or fetch it again"


class Form(StrEnum):
    SAFETENSORS = "safetensors"
    PICKLED = "pickled"
    GGUF = "gguf"
    #: The difference that was trained, for a base model that is elsewhere.
    ADAPTER = "adapter"


class Found(NamedTuple):
    """A model's form and the files of its weights, each of which exists and has bytes."""

    form: Form
    files: list[Path]

    @property
    def n_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files)


def find(folder: Path) -> Found:
    """Looks for weights, the best form first. Raises ``ConfigurationError`` that says what there is instead."""
    found = _full(folder)
    if found is None and (folder / ADAPTER).is_file():
        files = [folder / name for name in _ADAPTERS if (folder / name).is_file()]
        if not files:
            raise ConfigurationError(f"it is an adapter, and has no {_ADAPTERS[0]}: {AGAIN}")
        found = Found(Form.ADAPTER, files[:1])
    if found is None and (files := sorted(folder.glob("*.gguf"))):
        if len(files) > 1:
            names = ", ".join(said(path.name) for path in files[:4])
            raise ConfigurationError(f"it holds {len(files)} GGUF files ({names}, …): name one of them")
        found = Found(Form.GGUF, files)
    if found is None:
        raise ConfigurationError(_nothing(folder))
    for path in found.files:
        check_whole(path)
    return found


def _full(folder: Path) -> Found | None:
    if weights.has_safetensors(folder):
        return Found(Form.SAFETENSORS, _listed(weights.weight_files(folder)))
    if (folder / PICKLE).is_file():
        return Found(Form.PICKLED, [folder / PICKLE])
    if (folder / PICKLE_INDEX).is_file():
        names = weights.shards(folder, PICKLE_INDEX, ".bin")
        return Found(Form.PICKLED, _listed([folder / name for name in names]))
    return None


def _listed(files: list[Path]) -> list[Path]:
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ConfigurationError(f"{said(missing[0])}{more}, which its index lists, is missing: {AGAIN}")
    return files


def check_whole(path: Path) -> None:
    """Raises ``ConfigurationError`` for an empty file, and for the pointer that git keeps instead of a large one."""
    with path.open("rb") as file:
        begin = file.read(len(_POINTER))
    if not begin:
        raise ConfigurationError(f"{said(path.name)} is empty: {AGAIN}")
    if begin == _POINTER:
        raise ConfigurationError(f"{said(path.name)} is only git's pointer to the file: fetch it with git lfs pull")


def _nothing(folder: Path) -> str:
    for program, patterns in _OTHERS.items():
        if (found := next((path for pattern in patterns for path in sorted(folder.glob(pattern))), None)) is not None:
            what = f"it holds weights for {program} only ({said(found.relative_to(folder))})"
            return f"{what}: take a copy of the model with {weights.WEIGHTS} or {PICKLE}"
    if (folder / "config.json").is_file():
        return f"it has no weights: neither {weights.WEIGHTS} nor {PICKLE}; {AGAIN}"
    return f"it is no model: it has neither a config.json nor an {ADAPTER} nor a .gguf file; name another"
