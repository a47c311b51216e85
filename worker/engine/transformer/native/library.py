"""Compiles the kernels for this machine's processor, once, and loads them."""

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent
_SOURCES = ("linear.c", "exact.c", "attention.c", "prompt.c", "norm.c", "tokens.c")
_HEADERS = ("exponential.h", "attention.h", "vectors.h", "quantize.h", "tiles.h")
# Not -ffast-math: linking with it would switch off denormal numbers for the whole process.
_FLAGS = (
    *("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-std=gnu11"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffinite-math-only", "-fno-signed-zeros", "-fassociative-math"),
)
_TIMEOUT_SECONDS = 120

#: Sizes of heads, and the scores' memory, are whole multiples of this.
LANES = 16


def kernels() -> ctypes.CDLL:
    """The kernels where they can be had, as ``usable_kernels`` and ``serves`` tell."""
    found = compiled_kernels()
    assert found is not None  # noqa: S101 — whoever comes here has asked
    return found


def serves(vectors: torch.Tensor) -> bool:
    """Whether attention over such heads ``[..., size]`` can run on the kernels."""
    is_fp32 = vectors.device.type == "cpu" and vectors.dtype == torch.float32
    return is_fp32 and vectors.shape[-1] % LANES == 0 and usable_kernels() is not None


@cache
def usable_kernels() -> ctypes.CDLL | None:
    """The kernels, or ``None`` where they cannot be had or compute wrongly; a line in the log says why."""
    from worker.engine.transformer import kernel_check as check  # which is built on this

    found = compiled_kernels()
    if found is not None and (wrong := check.failing_kernels()):
        log.warning(
            "the kernels compute wrongly here (%s): running on torch's, which are slower; please report it, with what "
            "lscpu says",
            " and ".join(wrong),
        )
        return None
    return found


@cache
def compiled_kernels() -> ctypes.CDLL | None:
    """The same, unchecked.

    They are kept under ``$XDG_CACHE_HOME/lengthwise`` (``~/.cache/lengthwise``), named by what they were made from.
    """
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return None
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        log.warning("there is no C compiler (cc): int8 and attention run on torch's kernels, which are slower")
        return None
    try:
        return _declared(_loaded(compiler))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the kernels could not be compiled (%s): running on torch's, which are slower", _reason(error))
        return None


def _declared(kernels: ctypes.CDLL) -> ctypes.CDLL:
    pointer, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    signatures = {
        "lengthwise_linear": [pointer, pointer, pointer, pointer, count, number],
        "lengthwise_exact": [pointer, pointer, pointer, count, number],
        "lengthwise_attend": [pointer, pointer, count, count, pointer, pointer, count, count, number],
        "lengthwise_attend_prompts": [
            *(pointer, pointer, count, count, pointer, pointer, count, pointer, count, count, number),
        ],
        "lengthwise_rms_norm": [pointer, pointer, pointer, count, count, ctypes.c_float, number],
        "lengthwise_layer_norm": [pointer, pointer, pointer, pointer, count, count, ctypes.c_float, number],
        "lengthwise_greatest": [pointer, count, count, pointer, count, number],
        "lengthwise_store": [
            *(pointer, count, count, pointer, count, count),
            *(pointer, pointer, count, pointer, pointer, count, count, count),
        ],
        "lengthwise_rotate": [pointer, count, count, pointer, pointer, pointer, count, count, count, number],
    }
    for name, arguments in signatures.items():
        function = getattr(kernels, name)
        function.argtypes, function.restype = arguments, None
    kernels.lengthwise_columns.restype = kernels.lengthwise_exact_columns.restype = count
    return kernels


def _loaded(compiler: str) -> ctypes.CDLL:
    folder = _folder()
    kept = None if folder is None else folder / f"kernels-{_fingerprint(compiler)}.so"
    if kept is not None and kept.is_file():
        return ctypes.CDLL(str(kept))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / "kernels.so"
        command = [compiler, *_FLAGS, "-o", str(made), *[str(_FOLDER / name) for name in _SOURCES]]
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_SECONDS)  # noqa: S603 — no shell
        found = ctypes.CDLL(str(made))
        if kept is not None:
            made.replace(kept)
        return found


def _folder() -> Path | None:
    """Where they are kept, or ``None`` where this user may not write."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lengthwise"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _fingerprint(compiler: str) -> str:
    """Of sources, flags, compiler and processor: a home may be shared by machines."""
    total = hashlib.sha256(" ".join(_FLAGS).encode())
    for source in (*_SOURCES, *_HEADERS):
        total.update((_FOLDER / source).read_bytes())
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, timeout=_TIMEOUT_SECONDS)  # noqa: S603
    total.update(version.stdout)
    total.update(_processor().encode())
    return total.hexdigest()[:16]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    return next((line for line in lines if line.startswith("flags")), "")


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", None) or b""
    lines = said.decode("utf-8", "replace").splitlines()
    return next((line for line in lines if "error" in line), type(error).__name__)
