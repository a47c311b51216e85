"""Reads the option ``lengthwise worker --devices``, and checks it against the devices of this machine.

Knows nothing of torch. A short-lived process counts the GPUs, so that this process forks without having used CUDA.
"""

import re
import subprocess
import sys

from lengthwise.child import without_secrets
from lengthwise.errors import ConfigurationError

ALL = "all"
#: A device, or several devices of one kind that share each model.
DEVICES = r"cpu(\+cpu)*|cuda:\d+(\+cuda:\d+)*"
#: Importing torch takes most of the time. The first import after an installation may take long.
_COUNT_SECONDS = 120


def parse_devices(option: str) -> list[str]:
    """The device of each worker process, such as ``cuda:0`` or ``cpu``. ``all`` is every GPU, or else the CPU.

    ``cuda:0+cuda:1`` is one process with two devices that share each model. Raises ``ConfigurationError`` if a name is
    no device, or this machine does not have it.
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
    devices = [device for each in wanted for device in split_shared(each)]
    known = ["cpu"] if set(devices) == {"cpu"} else ["cpu", *_gpus()]
    for device in devices:
        if device not in known:
            raise ConfigurationError(f"--devices: this machine has no {device}, only {', '.join(known)}")
    return wanted


def split_shared(name: str) -> list[str]:
    """The devices in a name such as ``cuda:0+cuda:1``."""
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
            env=without_secrets(),
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise ConfigurationError(f"--devices: the GPUs cannot be counted ({type(error).__name__})") from None
    return counted.stdout.split()
