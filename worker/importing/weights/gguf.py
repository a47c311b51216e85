"""Models in GGUF: weights, configuration and tokenizer, by transformers' reader. Runs in the confined child."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import torch
import transformers
from gguf import GGUFReader
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from lengthwise.errors import InvalidInput
from lengthwise.models.published.naming import said
from worker.engine.protocol import EngineError
from worker.engine.transformer.weights.gaps import Gaps
from worker.importing.weights.written import write

_HERE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_NAME = "model.gguf"


def convert(request: bytes, _file: IO[bytes] | None) -> Iterator[bytes]:
    """Writes all that the file ``source`` holds into the request's folder. Answers with warnings."""
    given = json.loads(request)
    source, folder = Path(given["source"]), Path(given["folder"])
    # transformers looks at the files beside the one that it is given: here there are none.
    with TemporaryDirectory(dir=folder) as alone:
        (Path(alone) / _NAME).symlink_to(source)
        try:
            told = _convert(Path(alone), folder)
        except (InvalidInput, MemoryError):
            raise
        except Exception as error:  # the readers raise whatever a damaged file makes of it
            is_told = isinstance(error, ValueError | NotImplementedError | EngineError)
            known = said(next(iter(str(error).splitlines()), "")) if is_told else ""
            raise InvalidInput(f"{source.name} cannot be read as GGUF ({known or type(error).__name__})") from None
    yield json.dumps({"warnings": told}).encode()


def _convert(alone: Path, folder: Path) -> list[str]:
    config: Any = transformers.AutoConfig.from_pretrained(alone, gguf_file=_NAME, **_HERE)
    name = _class_name(config)
    options: dict[str, Any] = {}
    if (quantization := getattr(transformers, "GgufConfig", None)) is not None:
        options["quantization_config"] = quantization(dequantize=True)
    kind: Any = getattr(transformers, name)
    model, report = kind.from_pretrained(
        alone, gguf_file=_NAME, dtype=torch.float32, output_loading_info=True, **options, **_HERE
    )
    gaps = Gaps.of(report)
    gaps.refuse("it")
    write(model.state_dict(), folder)
    written = model.config.to_diff_dict()
    written.pop("quantization_config", None)
    written |= {"architectures": [name], "model_type": model.config.model_type, "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(written, indent=2, default=str) + "\n", "utf-8")
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(alone, gguf_file=_NAME, **_HERE)
    tokenizer.save_pretrained(folder)
    told = [gaps.unexpected_line()] if gaps.unexpected else []
    return told + _lost(alone / _NAME, written)


def _lost(path: Path, config: Mapping[str, Any]) -> list[str]:
    """How positions are scaled is in the file, and most of transformers' readers leave it out."""
    reader = GGUFReader(path)
    names = [*reader.fields, *(tensor.name for tensor in reader.tensors)]
    scaled = [name for name in names if name.startswith("rope_f") or name.endswith(".rope.scaling.factor")]
    tables = (config.get("rope_parameters"), config.get("rope_scaling"))
    if not scaled or any(table.get("rope_type", "default") != "default" for table in tables if table):
        return []
    how = f"how it scales positions ({said(scaled[0])}) is not read from GGUF"
    return [f"{how}: its answers may differ from the original's, so prefer the model in safetensors"]


def _class_name(config: Any) -> str:
    for names in (MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES):
        if (found := names.get(config.model_type)) is not None:
            return str(found)
    raise ValueError(f"{config.model_type} is no model that writes text")
