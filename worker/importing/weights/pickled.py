"""Pickled weights of PyTorch: reads their tensors, and nothing that would run. Runs in the confined child."""

import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from zipfile import is_zipfile

import torch

from lengthwise.errors import InvalidInput
from lengthwise.models.published.naming import said
from worker.importing.weights.written import write

#: How torch says which name a pickle asks for.
_ASKED = re.compile(r"(?:GLOBAL|class|global) `?([\w.]{1,100})")
_AGAIN = "it is damaged, or not of PyTorch: copy or fetch it again"


def convert(request: bytes, _file: IO[bytes] | None) -> Iterator[bytes]:
    """Writes the tensors of the request's files into its folder. Raises ``InvalidInput``."""
    given = json.loads(request)
    files = [Path(name) for name in given["files"]]
    state: dict[str, torch.Tensor] = {}
    for path in files:
        state |= _tensors(path)
    write(state, Path(given["folder"]), sum(path.stat().st_size for path in files), is_tied=given["is_tied"])
    yield b"{}"


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    found = _loaded(path)
    if not isinstance(found, dict) or not found:
        raise InvalidInput(f"{path.name} is no table of tensors, as save_pretrained writes one")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise InvalidInput(f"{path.name} holds more than tensors by their names, such as a whole training state")
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            raise InvalidInput(f"{path.name} holds {said(name)} in a form that is no plain tensor")
    return {name: tensor.detach() for name, tensor in found.items()}


def _loaded(path: Path) -> Any:
    try:
        # Files from before PyTorch 1.6 are no archives, and cannot be mapped into memory.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except pickle.UnpicklingError as error:
        asked = _ASKED.search(str(error).partition("WeightsUnpickler error:")[2])
        if asked is None:
            raise InvalidInput(f"{path.name} cannot be read: {_AGAIN}") from None
        code = f"holds code, which was not run (it asks for {asked[1]})"
        raise InvalidInput(f"{path.name} {code}: take a copy of the model with model.safetensors") from None
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged archive makes of it
        if "allocate memory" in str(error):
            raise MemoryError from None
        raise InvalidInput(f"{path.name} cannot be read ({type(error).__name__}): {_AGAIN}") from None
