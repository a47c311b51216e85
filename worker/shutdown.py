"""Whether this worker is shutting down, and since when. Celery signals the parent process; its children look here."""

import time
from multiprocessing.sharedctypes import RawValue


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
