"""The device's memory: how much of it a batch may take, and what the process keeps of what it has used once."""

import ctypes
import logging
import mmap
from contextlib import suppress
from pathlib import Path

import torch

log = logging.getLogger(__name__)

# From malloc.h of the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30

_CHUNK_BYTES, _LINE_BYTES = 32 << 20, 64

#: Of what is free once the model is loaded, for keys and values; activations, and other models, need theirs.
_SHARE = 0.5
#: Positions that are there for each input token: a row's room is up to twice its prompt, or its answer as long again.
_POSITIONS_A_TOKEN = 2
_CGROUP = Path("/sys/fs/cgroup")


def batch_tokens(token_bytes: int, where: torch.device) -> int | None:
    """Input tokens whose keys and values, of ``token_bytes`` each, the device has room for; ``None`` if it cannot tell.

    An estimate: what an answer needs beyond its input is seen when the memory runs out, and the batch is halved.
    """
    free = free_bytes(where)
    return None if free is None else max(1, int(_SHARE * free / (_POSITIONS_A_TOKEN * token_bytes)))


def free_bytes(where: torch.device) -> int | None:
    """What this process may still take of the device's memory; on a CPU, of the machine's and of the container's."""
    if where.type == "cuda":
        return int(torch.cuda.mem_get_info(where)[0])
    if where.type != "cpu":
        return None
    rooms = [room for room in (_machine_room(), _container_room()) if room is not None]
    return min(rooms, default=None)


def _machine_room() -> int | None:
    try:
        return 1024 * _fields("/proc/meminfo")["MemAvailable:"]
    except (OSError, KeyError):
        return None


def _container_room() -> int | None:
    """By the control group's limit, where there is one (version 2). What files have cached makes way."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        return max(0, limit - used + _fields(str(_CGROUP / "memory.stat"))["inactive_file"])
    except (OSError, ValueError, KeyError):  # no such file, or "max"
        return None


def _fields(path: str) -> dict[str, int]:
    """A name and a number a line."""
    return {words[0]: int(words[1]) for line in Path(path).read_text().splitlines() if (words := line.split())}


class HugePageArena:
    """Memory in pages of 2 MiB where Linux has them to give, for weights, which every step reads from end to end.

    The processor looks up where each page lies, and its table holds some thousands: with 4 KiB, a tenth of a model.
    Pieces lie one behind the other in chunks, which go once none of their pieces is used.
    """

    def __init__(self) -> None:
        self._left = torch.empty(0, dtype=torch.uint8)

    def hold(self, tensor: torch.Tensor) -> torch.Tensor:
        """A dense copy."""
        size = -(-tensor.nbytes // _LINE_BYTES) * _LINE_BYTES
        if size > len(self._left):
            self._left = _chunk(max(size, _CHUNK_BYTES))
        piece, self._left = self._left[: tensor.nbytes], self._left[size:]
        return piece.view(tensor.dtype).view(tensor.shape).copy_(tensor)


def _chunk(size: int) -> torch.Tensor:
    pages = mmap.mmap(-1, size)
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is not None:
        with suppress(OSError):  # a kernel without them
            pages.madvise(advice)
    return torch.frombuffer(pages, dtype=torch.uint8)


def retain_freed_memory() -> None:
    """Lets the C library keep what torch frees, up to a gigabyte in one piece, for the next batch.

    By default every large tensor is mapped anew, and the kernel clears each of its pages: 6% of a chat model's time on
    the CPU. Libraries other than glibc have no such knob, and nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not all(mallopt(knob, _KEPT_BYTES) for knob in (_MMAP_THRESHOLD, _TRIM_THRESHOLD)):
        log.info("this C library hands memory back at once: batches are somewhat slower")
