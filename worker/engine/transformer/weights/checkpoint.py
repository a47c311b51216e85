"""Weights on disk: safetensors, in which a matrix may be stored as int8 rows with one fp16 scale per row.

Row ``i`` of a stored matrix ``W`` means ``W[i] * W.scale[i]``. If its scales are named ``W.hadamard_scale`` instead, it
means the Hadamard transform of ``W[i] * W.hadamard_scale[i]``. Quantizing such a matrix after reading gives the same
integers again, so engines may treat every checkpoint as floating point.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lengthwise.models.published.naming import said
from worker.engine.protocol import EngineError
from worker.engine.transformer.weights.hadamard import GROUP
from worker.engine.transformer.weights.int8_rows import Int8Rows, as_rows, quantized

#: The name of a matrix's scales is its own name with one of these behind it: of plain rows, and of transformed ones.
SCALES = {False: ".scale", True: ".hadamard_scale"}


def save_int8(state: dict[str, torch.Tensor], path: Path, *, keeps_zeros: bool = False) -> None:
    """Writes matrices as int8 rows, other floating-point tensors as fp16, and the rest as it is.

    With ``keeps_zeros`` all rows are plain, so that every zero weight is a zero in the file.
    """
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim == 2:
            # In the file no row is padded, so rows of other lengths stay plain.
            is_plain = keeps_zeros or tensor.shape[1] % GROUP != 0
            rows = as_rows(tensor, is_transformed=False) if is_plain else quantized(tensor)
            stored[name], stored[name + SCALES[rows.is_transformed]] = rows.values, rows.scale
        else:
            stored[name] = tensor.to(torch.float16) if tensor.is_floating_point() else tensor
    save(stored, path)


def save(state: dict[str, torch.Tensor], path: Path) -> None:
    """Writes tensors as they are. Equal tensors always give equal bytes. Raises ``EngineError`` if it cannot."""
    # A single metadata entry: safetensors writes several in an order that changes from call to call.
    try:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})
    except SafetensorError as error:
        told = f"the weights cannot be written ({said(error)})"
        raise EngineError(f"{told}: free some of the disk, or name a folder on another one") from None
    path.chmod(0o644)


def load_state(paths: list[Path]) -> dict[str, torch.Tensor]:
    """Reads safetensors files into one state dict, and expands int8 rows to fp32."""
    stored: dict[str, torch.Tensor] = {}
    for path in paths:
        stored |= load_file(path)
    found = {name: rows for name in stored if (rows := _int8_rows(name, stored)) is not None}
    scales = {name + SCALES[rows.is_transformed] for name, rows in found.items()}
    rest = {name: tensor for name, tensor in stored.items() if name not in scales and name not in found}
    return rest | {name: rows.expanded() for name, rows in found.items()}


def _int8_rows(name: str, stored: dict[str, torch.Tensor]) -> Int8Rows | None:
    """The matrix of this name, if it is stored as int8 rows. Raises ``EngineError`` if its scales do not fit it."""
    values = stored[name]
    scales = {
        is_transformed: stored[name + ending] for is_transformed, ending in SCALES.items() if name + ending in stored
    }
    if not scales or values.dtype != torch.int8 or values.ndim != 2:
        return None
    [(is_transformed, scale), *others] = scales.items()
    if others or scale.shape != values.shape[:1]:
        raise EngineError(f"its int8 rows and their scales do not fit each other: {said(name)}")
    return Int8Rows(values, scale, is_transformed)
