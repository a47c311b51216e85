"""Weights on disk: safetensors, in which a matrix may be stored as int8 rows with one fp16 scale per row.

Row ``i`` of a stored matrix ``W`` means ``W[i] * W.scale[i]``. Quantizing such a matrix after reading gives the same
integers again, so engines may treat every checkpoint as floating point.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

#: The name of a matrix's scales is its own name with this behind it.
SCALE = ".scale"


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Quantizes a float matrix ``[rows, columns]`` to int8 of that shape and fp16 scales ``[rows]``, absmax / 127."""
    scale = (weight.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float16).tiny).to(torch.float16)
    rows = (weight / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return rows, scale


def save_int8(state: dict[str, torch.Tensor], path: Path) -> None:
    """Writes matrices as int8 rows, other floating-point tensors as fp16, and the rest as it is."""
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim == 2:
            stored[name], stored[name + SCALE] = quantize_rows(tensor.float())
        else:
            stored[name] = tensor.to(torch.float16) if tensor.is_floating_point() else tensor
    save(stored, path)


def save(state: dict[str, torch.Tensor], path: Path) -> None:
    """Writes tensors as they are. Equal tensors always give equal bytes."""
    # A single metadata entry: safetensors writes several in an order that changes from call to call.
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)


def load_state(paths: list[Path]) -> dict[str, torch.Tensor]:
    """Reads safetensors files into one state dict, and expands int8 rows to fp32."""
    stored: dict[str, torch.Tensor] = {}
    for path in paths:
        stored |= load_file(path)
    state: dict[str, torch.Tensor] = {}
    for name, tensor in stored.items():
        if name.endswith(SCALE) and stored.get(name.removesuffix(SCALE), tensor).dtype == torch.int8:
            continue
        scale = stored.get(name + SCALE)
        state[name] = tensor if scale is None else tensor.float() * scale.float()[:, None]
    return state
