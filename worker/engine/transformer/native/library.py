"""Compiles the C kernels once for this machine's processor, loads them, and provides them after their check.

The check itself lives above this module (``kernel_check``): the loader of a model runs it and sets the verdict here.
Until then, and after a failed check, ``usable_kernels`` returns ``None`` and everything runs on torch.
"""

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from lengthwise.child import without_secrets
from lengthwise.errors import ConfigurationError
from lengthwise.local.ownership import own

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent
_SOURCES = ("linear.c", "exact.c", "attention.c", "prompt.c", "norm.c", "tokens.c")
_HEADERS = ("exponential.h", "attention.h", "vectors.h", "hadamard.h", "quantize.h", "tiles.h")
# -ffast-math is left out: a library linked with it switches off denormal numbers for the whole process.
_FLAGS = (
    *("-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-std=gnu11"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffinite-math-only", "-fno-signed-zeros", "-fassociative-math"),
)
_TIMEOUT_SECONDS = 120

#: The attention kernels take head sizes that are multiples of this.
LANES = 16


#: What the check of the kernels found; ``None`` until it has run.
_is_approved: bool | None = None


def verdict() -> bool | None:
    """Whether the kernels passed their check; ``None`` before the check."""
    return _is_approved


def set_verdict(is_approved: bool | None) -> None:
    """Sets whether ``usable_kernels`` may return the kernels. ``kernel_check.check_kernels`` calls this."""
    global _is_approved
    _is_approved = is_approved


def usable_kernels() -> ctypes.CDLL | None:
    """The kernels, or ``None`` where they are not compiled, not checked yet, or failed the check."""
    return compiled_kernels() if _is_approved else None


def kernels() -> ctypes.CDLL:
    """The compiled kernels, for the check, and for code that has called ``usable_kernels`` or ``serves`` before."""
    found = compiled_kernels()
    assert found is not None  # noqa: S101 — callers test for kernels first
    return found


def serves(vectors: torch.Tensor) -> bool:
    """Whether the attention kernels can take heads of this shape ``[..., size]`` and type."""
    is_fp32 = vectors.device.type == "cpu" and vectors.dtype == torch.float32
    return is_fp32 and vectors.shape[-1] % LANES == 0 and usable_kernels() is not None


@cache
def compiled_kernels() -> ctypes.CDLL | None:
    """The kernels, unchecked; ``None`` where they cannot be compiled, and a warning in the log says why.

    The compiled file is cached under ``$XDG_CACHE_HOME/lengthwise`` (default ``~/.cache/lengthwise``), or in the
    folder for temporary files where that cannot be written. Its name is a hash of everything it was made from.
    """
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return None
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        log.warning("no C compiler (cc) found: int8 and attention use torch's kernels, which are slower")
        return None
    try:
        return _declared(_loaded(compiler))
    except (OSError, subprocess.SubprocessError, ConfigurationError) as error:
        log.warning("the C kernels did not compile (%s): torch's kernels are used, which are slower", _reason(error))
        return None


def _declared(kernels: ctypes.CDLL) -> ctypes.CDLL:
    """Declares each function's argument types, so that ctypes does not cut 64-bit numbers to 32 bits."""
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
    """Loads the cached file, or compiles a new one. A file that was not compiled to its end is never cached."""
    folder = _folder()
    kept = None if folder is None else folder / f"kernels-{_fingerprint(compiler)}.so"
    if kept is not None and (code := _kept(kept)) is not None:
        return _library(code)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / "kernels.so"
        command = [compiler, *_FLAGS, "-o", str(made), *[str(_FOLDER / name) for name in _SOURCES]]
        _run(command)
        made.chmod(0o600)
        found = _library(own(made).read_bytes())
        if kept is not None:
            made.replace(kept)
        return found


def _kept(path: Path) -> bytes | None:
    """The cached file, if there is one that nobody else can have written."""
    try:
        return own(path).read_bytes() if path.exists() else None
    except ConfigurationError as error:
        log.warning("the cached kernels are not used and compiled again: %s", error)
        return None


def _library(code: bytes) -> ctypes.CDLL:
    """Loads these bytes from memory: a container's ``/tmp`` may hold no programs."""
    descriptor = os.memfd_create("lengthwise-kernels", os.MFD_CLOEXEC)
    # It stays open, so that no other library is ever loaded under its number. The loader knows a library by its name,
    # and would return the first one again.
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(code)
    return ctypes.CDLL(f"/proc/self/fd/{descriptor}")


def _folder() -> Path | None:
    """The first cache folder that this user can write to, and nobody else; ``None`` if there is none."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (home / "lengthwise", Path(tempfile.gettempdir()) / f"lengthwise-{os.geteuid()}"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = own(folder)
        except (OSError, RuntimeError):
            continue
        except ConfigurationError as error:
            log.warning("the kernels are not cached here: %s", error)
            continue
        if os.access(found, os.W_OK):
            return found
    return None


def _fingerprint(compiler: str) -> str:
    """A hash of sources, flags, compiler and processor: machines with different processors may share a home folder."""
    total = hashlib.sha256(" ".join(_FLAGS).encode())
    for source in (*_SOURCES, *_HEADERS):
        total.update((_FOLDER / source).read_bytes())
    total.update(_run([compiler, "--version"]))
    total.update(_processor().encode())
    return total.hexdigest()[:16]


def _run(command: Sequence[str]) -> bytes:
    """The compiler's output. It gets no secrets of this process."""
    done = subprocess.run(  # noqa: S603 — no shell
        command, check=True, capture_output=True, timeout=_TIMEOUT_SECONDS, env=without_secrets()
    )
    return done.stdout


def _processor() -> str:
    """The line of ``/proc/cpuinfo`` that lists the processor's instruction sets."""
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    return next((line for line in lines if line.startswith("flags")), "")


def _reason(error: Exception) -> str:
    """The compiler's first line with an error, or the exception's name."""
    said = getattr(error, "stderr", None) or b""
    lines = said.decode("utf-8", "replace").splitlines()
    return next((line for line in lines if "error" in line), type(error).__name__)
