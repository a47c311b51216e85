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
_SOURCES = ["linear.c", "attention.c", "norm.c"]
# Not -ffast-math: linking with it would switch off denormal numbers for the whole process.
_FLAGS = (
    *("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-std=gnu11"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffinite-math-only", "-fno-signed-zeros", "-fassociative-math"),
)
_TIMEOUT_SECONDS = 120


@cache
def library() -> ctypes.CDLL | None:
    """The kernels, or ``None`` where they cannot be had; a line in the log says why.

    They are kept under ``$XDG_CACHE_HOME/lengthwise`` (``~/.cache/lengthwise``), named by what they were made from.
    """
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return None
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        log.warning("there is no C compiler (cc): int8 and attention run on torch's kernels, which are slower")
        return None
    try:
        return _declared(ctypes.CDLL(str(_compiled(compiler))))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the kernels could not be compiled (%s): running on torch's, which are slower", _reason(error))
        return None


def _declared(kernels: ctypes.CDLL) -> ctypes.CDLL:
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    kernels.lengthwise_columns.restype = count
    kernels.lengthwise_linear.argtypes = [pointer, pointer, pointer, pointer, count, ctypes.c_int]
    kernels.lengthwise_attend.argtypes = [
        *(pointer, pointer, count, count, pointer, pointer, count, count, ctypes.c_int),
    ]
    kernels.lengthwise_rms_norm.argtypes = [pointer, pointer, pointer, count, count, ctypes.c_float, ctypes.c_int]
    for function in (kernels.lengthwise_linear, kernels.lengthwise_attend, kernels.lengthwise_rms_norm):
        function.restype = None
    return kernels


def _compiled(compiler: str) -> Path:
    path = _folder() / f"kernels-{_fingerprint(compiler)}.so"
    if not path.is_file():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            command = [compiler, *_FLAGS, "-o", str(made), *[str(_FOLDER / name) for name in _SOURCES]]
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_SECONDS)  # noqa: S603 — no shell
            made.replace(path)
    return path


def _folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lengthwise"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _fingerprint(compiler: str) -> str:
    """Of sources, flags, compiler and processor: a home may be shared by machines."""
    total = hashlib.sha256(" ".join(_FLAGS).encode())
    for source in (*_SOURCES, "exponential.h"):
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
