"""The devices that ``lengthwise worker --devices`` names, held against those that this machine has.

Knows nothing of torch: a short-lived process counts for it, and this one forks with CUDA untouched.
"""

import re
import subprocess
import sys

from lengthwise.errors import ConfigurationError

ALL = "all"
#: Importing torch is most of it; the first time after an installation may take long.
_COUNT_SECONDS = 120


def named(option: str) -> list[str]:
    """``cuda:0`` or ``cpu`` for each process to be; ``all`` is every GPU, or the CPU where there is none.

    Raises ``ConfigurationError`` for what is no device or not on this machine.
    """
    wanted = [part.strip() for part in option.split(",")]
    if wanted == [ALL]:
        return _gpus() or ["cpu"]
    for each in wanted:
        if not re.fullmatch(r"cpu|cuda:\d+", each, re.ASCII):
            raise ConfigurationError(f"--devices: {each!r} is neither {ALL} nor a device such as cuda:0 or cpu")
    known = ["cpu"] if set(wanted) == {"cpu"} else ["cpu", *_gpus()]
    for each in wanted:
        if each not in known:
            raise ConfigurationError(f"--devices: this machine has no {each}, only {', '.join(known)}")
    return wanted


def _gpus() -> list[str]:
    try:
        counted = subprocess.run(
            [sys.executable, "-P", "-m", "worker.engine.devices"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=_COUNT_SECONDS,
            check=True,
            text=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise ConfigurationError(f"--devices: the GPUs cannot be counted ({type(error).__name__})") from None
    return counted.stdout.split()
