"""Says which GPUs torch sees on this machine, one a line: ``python -m worker.engine.transformer.devices``.

A program of its own, for who must neither import torch nor begin with CUDA: ``lengthwise.models.device``.
"""

import sys

import torch


def devices() -> list[str]:
    """``cuda:0``, ``cuda:1``, …: those that ``CUDA_VISIBLE_DEVICES`` leaves, in its order."""
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


if __name__ == "__main__":
    sys.stdout.write("\n".join(devices()))
