"""Weights on disk: safetensors, where a matrix may be stored as int8 rows with one fp16 scale a row.

Row ``i`` of a stored matrix ``W`` stands for ``W[i] * W.scale[i]``. Quantizing a matrix that was read this way gives
the same integers again, so engines may treat every checkpoint as floating point.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SCALE = ".scale"


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``[rows, columns]`` float → int8 of the same shape and fp16 scales ``[rows]`` (absmax / 127 of each row)."""
    scale = (weight.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float16).tiny).to(torch.float16)
    rows = (weight / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return rows, scale


def save_int8(state: dict[str, torch.Tensor], path: Path) -> None:
    """Writes floating-point matrices as int8 rows and everything else as fp16."""
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim == 2:
            stored[name], stored[name + SCALE] = quantize_rows(tensor.float())
        else:
            stored[name] = tensor.to(torch.float16) if tensor.is_floating_point() else tensor
    save(stored, path)


def save(state: dict[str, torch.Tensor], path: Path) -> None:
    """Writes tensors as they are: equal ones always as equal bytes."""
    # One entry alone: safetensors writes several in an order that changes from call to call.
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)


def load_state(paths: list[Path]) -> dict[str, torch.Tensor]:
    """Reads safetensors files into one state dict, int8 rows expanded to fp32."""
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
