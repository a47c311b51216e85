"""Prints the GPUs that torch sees on this machine, one per line: ``python -m worker.engine.transformer.devices``.

It is a program of its own because its caller, ``lengthwise.models.device``, must neither import torch nor start CUDA.
"""

import sys

import torch


def devices() -> list[str]:
    """``cuda:0``, ``cuda:1``, …: one name for each device of ``CUDA_VISIBLE_DEVICES``, in its order."""
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


if __name__ == "__main__":
    sys.stdout.write("\n".join(devices()))
