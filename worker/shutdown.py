"""Whether this worker is shutting down, and since when. Celery signals the parent process; its children look here.

If the parent is killed, it can signal nothing: the kernel then ends its children.
"""

import ctypes
import os
import signal
import time
from multiprocessing.sharedctypes import RawValue

#: PR_SET_PDEATHSIG of Linux' prctl(2).
_SET_DEATH_SIGNAL = 1


class Shutdown:
    """Created before Celery forks, in memory that all processes of the worker share.

    It has no lock: a child that was killed while it held one would block the others for ever.
    """

    def __init__(self) -> None:
        self._began_at = RawValue("d", 0.0)

    def begin(self) -> None:
        """Begins the shutdown: no process of this worker claims anything new."""
        if not self.is_begun:
            self._began_at.value = time.monotonic()

    @property
    def is_begun(self) -> bool:
        return self.seconds > 0

    @property
    def seconds(self) -> float:
        """Seconds since it began; 0 if it has not."""
        began_at: float = self._began_at.value
        return max(time.monotonic() - began_at, 1e-9) if began_at else 0.0


def end_with_parent(parent: int) -> None:
    """Lets the kernel kill this process when its parent, of this process id, ends. Does nothing on other systems.

    Otherwise a process that waits for a lost broker, or computes without end, would outlive its killed parent.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the call
            os.kill(os.getpid(), signal.SIGKILL)
