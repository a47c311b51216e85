"""Kills the engine's process if it hangs, or if the worker does not stop in time.

The process that computes writes to shared memory, and a thread of its parent reads there:

- the engine's thread writes when it last finished a step: a batch or a part of one, prompts, an answer, results;
- a thread of its own writes that Python runs at all. It cannot while a library holds the interpreter.

If either is too long ago, the parent kills the process. Celery then starts another process, and when the leases expire,
another worker takes over the shards. A process that hangs renews no lease, even if its parent is gone (see ``Lease``).
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import Structure, c_double, c_longlong
from multiprocessing.sharedctypes import RawValue
from threading import Lock, Thread

from lengthwise import settings
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
#: How often the process shows that Python runs.
_BEAT_SECONDS = 0.2
#: If the watching thread itself pauses for longer than this, the whole worker was frozen, such as a container that was
#: paused. That time is no sign of a hang.
_FROZEN_SECONDS = 5.0
#: The time for giving back claims after the end of the grace.
_GIVING_BACK_SECONDS = 1.0
#: Loading a model may take so many times as long as any other step.
_PATIENCE = 6.0


class _Progress(Structure):
    """What the parent sees of the process that computes. Times are those of the monotonic clock."""

    _fields_ = (
        ("process", c_longlong),
        #: When the engine's thread last finished a step; 0 while it waits for work.
        ("made_at", c_double),
        #: When Python last ran; 0 before it first did.
        ("beat_at", c_double),
        #: Whether a model is being loaded.
        ("is_patient", c_longlong),
        #: When the parent last looked; 0 before it first did.
        ("looked_at", c_double),
    )


class Watchdog:
    """Created before Celery forks, so that the engine's process and its parent share the memory.

    The parent takes no lock, for the reason given in ``Shutdown``.
    """

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._progress = RawValue(_Progress)
        #: How many ``watched`` and ``patient`` are open in this process.
        self._n_watched = self._n_patient = 0
        #: How long this process was watched in all before, and since when it is now; None if it is not. They change
        #: together, so that another thread may read them.
        self._busy: tuple[float, float | None] = (0.0, None)
        self._is_starting = False
        self._before_end: Callable[[], None] = lambda: None
        self._counting = Lock()

    @contextmanager
    def watched(self) -> Iterator[Callable[[], None]]:
        """Watches this thread while it works. Yields a function to call whenever it has finished a step.

        Within another ``watched``, the end of the block is a step too.
        """
        shared, clock = self._progress, time.monotonic

        def progress() -> None:
            shared.made_at = clock()

        if not self._n_watched:
            self._busy = (self._busy[0], clock())
        self._n_watched += 1
        shared.process = os.getpid()
        progress()
        try:
            yield progress
        finally:
            self._n_watched -= 1
            shared.made_at = clock() if self._n_watched else 0.0
            if not self._n_watched:
                self._busy = (self.busy_seconds, None)

    def step(self) -> None:
        """Notes the end of a step, if the engine's thread is watched. Threads that work for it may call this too."""
        if self._progress.made_at:
            self._progress.made_at = time.monotonic()

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Allows more time, because a model is being loaded. Threads may enter it at the same time."""
        shared = self._progress
        with self._counting:
            self._n_patient += 1
            shared.is_patient = 1
        try:
            yield
        finally:
            with self._counting:
                self._n_patient -= 1
                if not self._n_patient:
                    self.step()
                    shared.is_patient = 0

    def beat(self) -> None:
        """Starts the thread that shows that Python runs. Call this in the engine's process, before anything else.

        It forgets the process before this one, which may have died in the middle of a step.
        """
        shared = self._progress
        shared.made_at, shared.is_patient, shared.beat_at = 0.0, 0, time.monotonic()
        shared.process = os.getpid()
        Thread(target=self._beat, name="beat", daemon=True).start()

    @contextmanager
    def starting(self, before_end: Callable[[], None] = lambda: None) -> Iterator[None]:
        """For the block, this process ends at once if the worker shuts down: it holds no claim yet.

        Otherwise a worker that is asked to stop would first load its models. ``beat`` must have been called.
        ``before_end`` is called first; it must be quick.
        """
        self._before_end, self._is_starting = before_end, True
        try:
            yield
        finally:
            self._is_starting = False

    def _beat(self) -> None:
        while True:
            self._progress.beat_at = time.monotonic()
            if self._is_starting and self._shutdown.is_begun:
                self._before_end()
                os._exit(0)
            time.sleep(_BEAT_SECONDS)

    @property
    def step_at(self) -> float:
        """When the engine's thread last finished a step, by the monotonic clock; 0 while it waits for work."""
        made_at: float = self._progress.made_at
        return made_at

    @property
    def busy_seconds(self) -> float:
        """How long this process's engine thread has been watched in all, the present ``watched`` included."""
        before, since = self._busy
        return before if since is None else before + time.monotonic() - since

    @property
    def is_deserted(self) -> bool:
        """Whether the parent has not looked for long. It is frozen, so this process is given no work."""
        looked_at: float = self._progress.looked_at
        return looked_at > 0 and time.monotonic() - looked_at > _FROZEN_SECONDS

    def stalled(self, hang_seconds: float, stall_seconds: float = float("inf")) -> int | None:
        """The id of the engine's process if it hangs; else None.

        It hangs if it has finished no step for ``hang_seconds``, or if no Python has run for ``stall_seconds``.
        """
        shared, now = self._progress, time.monotonic()
        factor = _PATIENCE if shared.is_patient else 1.0
        is_hanging = shared.made_at and now - shared.made_at > hang_seconds * factor
        is_still = shared.beat_at and now - shared.beat_at > stall_seconds * factor
        process: int = shared.process
        return process or None if is_hanging or is_still else None

    def start(self) -> None:
        """Starts the watching thread. Call this in the parent of the engine's process.

        This is the first look: a parent that freezes before its thread wakes up is missed too.
        """
        self._progress.looked_at = time.monotonic()
        Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _watch(self) -> None:
        current = settings.get()
        while True:
            self._sleep()
            self._progress.looked_at = time.monotonic()
            if (process := self.stalled(current.hang_seconds, current.stall_seconds)) is not None:
                log.error("the engine's process hangs: replacing it", extra={"fields": {"process": process}})
                self._kill(process)
            if self._shutdown.seconds > current.grace_seconds + _GIVING_BACK_SECONDS:
                log.warning("the worker did not stop within %g s of grace: killing it", current.grace_seconds)
                self._kill(self._progress.process)
                os._exit(0)

    def _sleep(self) -> None:
        """Waits for the next look. If this took far too long, all times are moved by as much."""
        began_at = time.monotonic()
        time.sleep(_POLL_SECONDS)
        late = time.monotonic() - began_at - _POLL_SECONDS
        if late > _FROZEN_SECONDS:
            shared = self._progress
            shared.made_at += late if shared.made_at else 0.0
            shared.beat_at += late if shared.beat_at else 0.0

    def _kill(self, process: int) -> None:
        shared = self._progress
        shared.process, shared.made_at, shared.beat_at, shared.is_patient = 0, 0.0, 0.0, 0
        if process:
            with suppress(ProcessLookupError):  # it died just now, and this thread must go on
                os.kill(process, signal.SIGKILL)
