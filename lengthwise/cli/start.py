"""Ctrl-C and SIGTERM before a command begins: importing all that it needs takes a moment. This module needs little."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def begin() -> None:
    """From here on, ``lengthwise submit`` says that there is no job, if it is interrupted; ``model`` ends at once."""
    if sys.argv[1:2] in (["submit"], ["model"]):
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _stop)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    said = "nothing was sent, so there is no job" if sys.argv[1] == "submit" else "interrupted"
    os.write(sys.stderr.fileno(), f"\n{said}\n".encode())
    os._exit(128 + number)  # nothing is begun. An exception might come where Python drops it, as in a destructor


def end() -> None:
    """From here on, the command itself says what there is."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is _stop:
            signal.signal(number, handler)
