"""Writes tensors as safetensors. Runs in the confined child."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError

from lengthwise.errors import InvalidInput

#: Of one file. Readers map files into memory, so their number matters little.
_SHARD_BYTES = 5_000_000_000


def write(
    state: Mapping[str, torch.Tensor], folder: Path, most_bytes: int | None = None, *, is_tied: bool = True
) -> None:
    """Writes the tensors. Of tensors that are the same memory, only the first, if a reader ties them (``is_tied``).

    Raises ``InvalidInput`` if they have more than ``most_bytes``, or the disk has no room for them.
    """
    kept = _distinct(state)
    size = sum(tensor.nbytes for tensor in kept.values())
    if most_bytes is not None and size > most_bytes:
        raise InvalidInput("its tensors are larger than their file")
    if size > (free := shutil.disk_usage(folder).free):
        needed = f"{size / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are free"
        raise InvalidInput(f"the disk has no room: {needed}; free some, or let TMPDIR name another disk")
    try:
        whole = {name: _of_its_own(tensor) for name, tensor in kept.items()}
        if not is_tied:
            whole |= {name: tensor.clone() for name, tensor in state.items() if name not in kept}
        save_torch_state_dict(whole, folder, max_shard_size=_SHARD_BYTES)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"the converted weights cannot be written ({type(error).__name__})") from None
    for path in folder.glob("model*.safetensors"):
        path.chmod(0o644)


def _distinct(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without the further names of a tensor."""
    names: dict[tuple[object, ...], str] = {}
    kept: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        place = tensor.untyped_storage().data_ptr()
        key = (place, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and key in names:
            continue
        names[key] = name
        kept[name] = tensor
    return kept


def _of_its_own(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with memory that holds nothing else."""
    is_part = tensor.nbytes != tensor.untyped_storage().nbytes()
    return tensor.clone(memory_format=torch.contiguous_format) if is_part else tensor
