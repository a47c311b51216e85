"""The devices that ``lengthwise worker --devices`` names, held against those that this machine has.

Knows nothing of torch: a short-lived process counts for it, and this one forks with CUDA untouched.
"""

import re
import subprocess
import sys

from lengthwise.errors import ConfigurationError

ALL = "all"
#: A device, or several of a kind that share each model.
DEVICES = r"cpu(\+cpu)*|cuda:\d+(\+cuda:\d+)*"
#: Importing torch is most of it; the first time after an installation may take long.
_COUNT_SECONDS = 120


def parse_devices(option: str) -> list[str]:
    """``cuda:0`` or ``cpu`` for each process to be; ``all`` is every GPU, or the CPU where there is none.

    ``cuda:0+cuda:1`` are two that share each model. Raises ``ConfigurationError`` for what is no device or not on this
    machine.
    """
    wanted = [part.strip() for part in option.split(",")]
    if wanted == [ALL]:
        return _gpus() or ["cpu"]
    for each in wanted:
        if not re.fullmatch(DEVICES, each, re.ASCII):
            raise ConfigurationError(f"--devices: {each!r} is neither {ALL} nor a device such as cuda:0 or cpu")
        own = split_shared(each)
        if len(set(own)) < len(own) and own[0] != "cpu":
            raise ConfigurationError(f"--devices: {each!r} names a device twice")
    asked = [device for each in wanted for device in split_shared(each)]
    known = ["cpu"] if set(asked) == {"cpu"} else ["cpu", *_gpus()]
    for device in asked:
        if device not in known:
            raise ConfigurationError(f"--devices: this machine has no {device}, only {', '.join(known)}")
    return wanted


def split_shared(name: str) -> list[str]:
    """The devices that ``cuda:0+cuda:1`` stands for; one alone stands for itself."""
    return name.split("+")


def _gpus() -> list[str]:
    try:
        counted = subprocess.run(
            [sys.executable, "-P", "-m", "worker.engine.transformer.devices"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=_COUNT_SECONDS,
            check=True,
            text=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise ConfigurationError(f"--devices: the GPUs cannot be counted ({type(error).__name__})") from None
    return counted.stdout.split()
