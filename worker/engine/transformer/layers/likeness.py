"""Whether two ways of computing something give the same, as a sample shows."""

from collections.abc import Callable

import torch

#: Relative to the largest value: what rounding may make of sums in another order.
TOLERANCE = 1e-5

_ROWS = 3


@torch.inference_mode()
def are_equivalent(
    one: Callable[[torch.Tensor], torch.Tensor], other: Callable[[torch.Tensor], torch.Tensor], size: int
) -> bool:
    """Whether both answer some vectors of this size alike, in fp32."""
    sample = torch.randn(_ROWS, size, generator=torch.Generator().manual_seed(0))
    return is_close(other(sample), one(sample), TOLERANCE)


def is_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    """Within so much of the largest value. A NaN is like nothing."""
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())
