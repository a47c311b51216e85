"""The devices that ``lengthwise worker --devices`` names, held against those that this machine has.

Knows nothing of torch: a short-lived process counts for it, and this one forks with CUDA untouched.
"""

import re
import subprocess
import sys

from lengthwise.errors import ConfigurationError

ALL = "all"
#: Between devices that share a model.
TOGETHER = "+"
#: Importing torch is most of it; the first time after an installation may take long.
_COUNT_SECONDS = 120


def named(option: str) -> list[str]:
    """``cuda:0`` or ``cpu`` for each process to be; ``all`` is every GPU, or the CPU where there is none.

    ``cuda:0+cuda:1`` are two that share each model. Raises ``ConfigurationError`` for what is no device or not on this
    machine.
    """
    wanted = [part.strip() for part in option.split(",")]
    if wanted == [ALL]:
        return _gpus() or ["cpu"]
    for each in wanted:
        if not re.fullmatch(r"cpu(\+cpu)*|cuda:\d+(\+cuda:\d+)*", each, re.ASCII):
            raise ConfigurationError(f"--devices: {each!r} is neither {ALL} nor a device such as cuda:0 or cpu")
    single = [device for each in wanted for device in each.split(TOGETHER)]
    known = ["cpu"] if set(single) == {"cpu"} else ["cpu", *_gpus()]
    for device in single:
        if device not in known:
            raise ConfigurationError(f"--devices: this machine has no {device}, only {', '.join(known)}")
    for each in wanted:
        parts = each.split(TOGETHER)
        if len(set(parts)) < len(parts) and parts[0] != "cpu":
            raise ConfigurationError(f"--devices: {each!r} names a device twice")
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
