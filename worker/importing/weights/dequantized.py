"""Weights in FP8 or MXFP4, as floating point again, by transformers. Runs in the confined child."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import EngineError
from worker.engine.transformer.weights import loading
from worker.importing.weights.written import write


def convert(request: bytes, _file: IO[bytes] | None) -> Iterator[bytes]:
    """Writes the weights of the request's ``source`` into its folder, in the precision that its config.json names."""
    given = json.loads(request)
    spec = ModelSpec(name="", path=Path(given["source"]))
    try:
        dtype = getattr(loading.load_config(spec), "dtype", None) or torch.bfloat16
        model = loading.load_model(spec, dtype, None)
    except (ConfigurationError, EngineError, ImportError) as error:
        raise InvalidInput(str(error).removeprefix("model : ")) from None
    write(model.state_dict(), Path(given["folder"]))
    yield b"{}"
