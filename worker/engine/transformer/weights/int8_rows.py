"""Matrices as int8 rows with one scale per row, Hadamard-transformed first, which is nearly always more exact."""

from typing import NamedTuple

import torch

from worker.engine.transformer.weights.hadamard import transformed

#: Rows that are transformed and rounded at a time, so that what is in between takes little memory.
_BLOCK_ROWS = 1024
#: Rows that decide whether a matrix is transformed.
_SAMPLED_ROWS = 128


class Int8Rows(NamedTuple):
    """A matrix ``[outputs, inputs]``: about ``values * scale``, or the inverse transform of that."""

    #: int8 ``[outputs, inputs]``; transformed, the inputs are padded to whole groups.
    values: torch.Tensor
    #: fp16 ``[outputs]``.
    scale: torch.Tensor
    is_transformed: bool

    def expanded(self) -> torch.Tensor:
        """The matrix in fp32, with the padding that the transform added."""
        blocks = zip(torch.split(self.values, _BLOCK_ROWS), torch.split(self.scale, _BLOCK_ROWS), strict=True)
        matrices = (values.float() * scale.float()[:, None] for values, scale in blocks)
        return torch.cat([transformed(each) if self.is_transformed else each for each in matrices])


def quantized(weight: torch.Tensor) -> Int8Rows:
    """Quantizes a float matrix ``[outputs, inputs]``: transformed, but if it is ``expanded`` from plain rows, plain.

    What ``Int8Rows.expanded`` gives is quantized to the same integers again.
    """
    return as_rows(weight, not are_plain_rows(weight))


def as_rows(weight: torch.Tensor, is_transformed: bool) -> Int8Rows:
    """Quantizes a float matrix in this form."""
    blocks = torch.split(weight.float(), _BLOCK_ROWS)
    values, scales = zip(*(_rounded(transformed(each) if is_transformed else each) for each in blocks), strict=True)
    return Int8Rows(torch.cat(values), torch.cat(scales), is_transformed)


def are_plain_rows(weight: torch.Tensor) -> bool:
    """Whether a matrix was plain int8 rows with fp16 scales before, judged on a sample of its rows.

    Rounding such rows loses nothing, to the last bit. Others lose less by the transform: without outliers it makes the
    error of the weights up to 1.9 times as large, but that of inputs with outliers several times smaller.
    """
    sample = weight[:: max(1, len(weight) // _SAMPLED_ROWS)].float()
    return torch.equal(as_rows(sample, is_transformed=False).expanded(), sample)


def _rounded(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 values of the rows' shape and fp16 scales ``[rows]``, absmax / 127."""
    scale = (rows.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float16).tiny).to(torch.float16)
    return (rows / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8), scale
