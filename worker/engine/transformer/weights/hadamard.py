"""The Hadamard transform of each 64 neighbouring numbers: it spreads an outlier evenly over its group.

A linear layer that gets transformed inputs and has transformed weights gives the same outputs, because the matrix is
orthogonal. Quantized, it is more exact: a single large number no longer sets the steps of its whole row
(QuaRot, arXiv:2404.00456).
"""

import torch

#: Numbers in a group. The matrix of ones and minus ones is divided by the root of it, and is then orthogonal.
GROUP = 64
_ROOT = 8


def transformed(x: torch.Tensor) -> torch.Tensor:
    """Transforms the last dimension, ``[..., size]`` → ``[..., size padded with zeros to whole groups]``.

    Twice it gives ``x`` again. The additions have a fixed order, the one of the C kernel, so that the bits depend on
    neither the batch nor the machine.
    """
    padded = torch.nn.functional.pad(x, (0, -x.shape[-1] % GROUP))
    by_place = padded.reshape(-1, GROUP).T.clone(memory_format=torch.contiguous_format)
    apart = GROUP // 2
    while apart:
        left, right = by_place.view(GROUP // (2 * apart), 2, apart, -1).unbind(1)
        difference = left - right
        left.add_(right)
        right.copy_(difference)
        apart //= 2
    return by_place.T.reshape(padded.shape).div_(_ROOT)
