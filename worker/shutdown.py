"""Whether this worker is shutting down, and for how long. Celery signals the parent process; its children ask here."""

import time
from multiprocessing.sharedctypes import RawValue


class Shutdown:
    """Made before Celery forks: the value lies in memory that all processes of the worker share.

    It has no lock, because a child that is killed while it holds one would block the others for ever.
    """

    def __init__(self) -> None:
        self._began_at = RawValue("d", 0.0)

    def begin(self) -> None:
        """From now on no process of this worker claims anything new."""
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
