"""Tunes the process of a generation worker: its priority, its threads, its garbage collector and freed memory."""

import ctypes
import gc
import os
import sys
import time

from lengthwise import settings

#: How long a thread keeps the interpreter while another thread waits for it. While the engine computes, it releases the
#: interpreter by itself.
_SWITCH_SECONDS = 0.0005
#: How often freed memory goes back to the system. Then the cost is not measurable: milliseconds, and new pages for the
#: next batch.
_RELEASE_SECONDS = 30.0


def tune_process() -> None:
    """Sets how far the engine yields a core that it shares, and lets Python's threads switch soon."""
    os.nice(settings.get().niceness)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # A batch has too few texts to share among threads: waking them takes longer than tokenizing. The tokenizers library
    # reads this variable at each call.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def reduce_garbage_collection() -> None:
    """Excludes all present objects from garbage collection, and collects less often.

    An item consists of a dozen small objects, none of which is in a cycle once it is settled. By default Python looks
    for cycles after every 700 objects, among all objects of all libraries. That took a third of the time outside the
    engine. Call this again after a model was dropped: objects that were excluded before, and that nothing refers to
    any more, are then freed.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


class FreedMemory:
    """Memory that glibc keeps for the next batch. Batches differ, so gaps remain between what is in use, and add up.

    On the demo's models a worker grew from 490 MB to 875 MB over 370,000 small items, half of it such gaps.
    """

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none, and keep less
        self._released_at = time.monotonic()

    def release(self) -> None:
        """Gives it back to the system, if the last time was some time ago."""
        now = time.monotonic()
        if self._trim is not None and now - self._released_at >= _RELEASE_SECONDS:
            self._released_at = now
            self._trim(0)
