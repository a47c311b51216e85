"""Which processor this is, and which instructions for int8 it has: rounding depends on them."""

import platform
import re
from pathlib import Path

import torch

#: Linux's names of instruction sets, the best for int8 first, and their usual names.
_SETS = {"amx_int8": "AMX", "avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "avx512f": "AVX-512", "avx2": "AVX2"}


def described(cpuinfo: str | None = None) -> str:
    """The processor's name and its best instruction set, from ``/proc/cpuinfo`` or what is given of it."""
    told = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    name = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", told, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    best = next(
        (usual for flag, usual in _SETS.items() if flag in known), "no instructions for int8 that are known here"
    )
    return f"{name[1] if name else platform.machine()} ({best})"


def has_vnni() -> bool:
    """Whether inputs are rounded to 8 bits; otherwise they have 7, and int8 costs more."""
    return bool(torch.cpu._is_vnni_supported())
