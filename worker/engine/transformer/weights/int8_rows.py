"""Matrices as int8 rows with one scale per row, Hadamard-transformed first where that is the more exact form."""

from typing import NamedTuple

import torch

from worker.engine.transformer.weights.hadamard import transformed

#: Rows that are transformed and rounded at a time, so that what is in between takes little memory.
_BLOCK_ROWS = 1024
#: Rows that decide whether a matrix is transformed.
_SAMPLED_ROWS = 128
#: A matrix stays as it is if the transform makes the error of its rounded weights more than this many times as large.
#: Without outliers among the weights it does so up to 1.9 times, but it makes the error of the inputs several times
#: smaller where these have outliers. Rows that were int8 before are rounded without any error, and a second rounding
#: would only lose.
_LIMIT = 2.0


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
    """Quantizes a float matrix ``[outputs, inputs]``, in the form that is likely to give the better outputs.

    What ``Int8Rows.expanded`` gives is quantized to the same integers again.
    """
    return as_rows(weight, gains_by_transform(weight))


def as_rows(weight: torch.Tensor, is_transformed: bool) -> Int8Rows:
    """Quantizes a float matrix in this form."""
    blocks = torch.split(weight.float(), _BLOCK_ROWS)
    values, scales = zip(*(_rounded(transformed(each) if is_transformed else each) for each in blocks), strict=True)
    return Int8Rows(torch.cat(values), torch.cat(scales), is_transformed)


def gains_by_transform(weight: torch.Tensor) -> bool:
    """Whether a matrix should be transformed, by the error of its rounded weights in a sample of its rows.

    That is also the error of its outputs for random inputs, for which both forms round inputs equally well.
    """
    sample = weight[:: max(1, len(weight) // _SAMPLED_ROWS)].float()
    return _error(transformed(sample)) <= _LIMIT * _error(sample)


def _error(rows: torch.Tensor) -> float:
    return float((Int8Rows(*_rounded(rows), is_transformed=False).expanded() - rows).norm())


def _rounded(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 values of the rows' shape and fp16 scales ``[rows]``, absmax / 127."""
    scale = (rows.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float16).tiny).to(torch.float16)
    return (rows / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8), scale
