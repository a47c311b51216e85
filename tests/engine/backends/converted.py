"""Converts a tiny Marian for CTranslate2, inside its own folder. Import this only where ctranslate2 is installed."""

# mypy: allow-untyped-calls
# ctranslate2 ships few annotations.

from pathlib import Path
from typing import Any

from ctranslate2.converters.transformers import MarianMTLoader

from lengthwise.models import manifest
from lengthwise.models.catalog import ModelSpec
from tests.engine import tiny
from worker.engine.ctranslate2 import FOLDER


class _Loader(MarianMTLoader):  # type: ignore[misc]
    def _remove_pad_weights(self, spec: Any) -> None:
        """Reads the vocabulary as it is: real Marians have the padding as their last id, this one as its first."""


def convert(folder: Path, end: int, quantization: str | None = None) -> None:
    """Converts the Marian in ``folder``, with ``end`` as the id that ends an answer."""
    spec = _Loader().get_model_spec(tiny.hub.MarianMTModel.from_pretrained(folder))
    words = [tiny.text([token]) for token in range(tiny.VOCABULARY)]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.bos_token = spec.config.unk_token = words[tiny.START]
    spec.config.eos_token = words[end]
    spec.config.decoder_start_token = words[tiny.PAD]
    spec.config.add_source_eos = False
    spec.decoder.start_from_zero_embedding = False
    spec.validate()
    spec.optimize(quantization=quantization)
    target = folder / FOLDER
    target.mkdir()
    spec.save(str(target))
    manifest.write(target, sorted(path.name for path in target.iterdir()))


def spec(folder: Path, quantization: str) -> ModelSpec:
    table = {"path": folder, "quantization": quantization, "device": "cpu", "engine": "ctranslate2"}
    return ModelSpec.from_table("tiny", table | {"translate": {"pairs": [["en", "de"]]}})
