"""Memory: how large a batch the device has memory for, large pages for weights, and reuse of freed memory."""

import ctypes
import logging
import mmap
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

log = logging.getLogger(__name__)

# From malloc.h of the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30

_CHUNK_BYTES, _LINE_BYTES = 32 << 20, 64

#: A batch's keys and values may take this share of the memory that is free once the model is loaded. Activations and
#: other models need the rest.
_SHARE = 0.5
#: Cache positions to reckon with per input token: a slot may be twice its prompt, and an answer as long as its source.
_POSITIONS_A_TOKEN = 2
_CGROUP = Path("/sys/fs/cgroup")


def batch_tokens(token_bytes: int, where: torch.device) -> int | None:
    """The input tokens whose keys and values, ``token_bytes`` each, fit the device; ``None`` if its memory is unknown.

    An estimate: if answers need more than that, the memory runs out and the batch is halved.
    """
    free = free_bytes(where)
    return None if free is None else max(1, int(_SHARE * free / (_POSITIONS_A_TOKEN * token_bytes)))


def free_bytes(where: torch.device) -> int | None:
    """The bytes of the device's memory that are free; on a CPU, the lesser of the machine's and the container's."""
    if where.type == "cuda":
        return int(torch.cuda.mem_get_info(where)[0])
    if where.type != "cpu":
        return None
    known = [count for count in (_machine_bytes(), _container_bytes()) if count is not None]
    return min(known, default=None)


def _machine_bytes() -> int | None:
    """The memory that Linux can give to programs, page cache included."""
    try:
        return 1024 * _fields("/proc/meminfo")["MemAvailable:"]
    except (OSError, KeyError):
        return None


def _container_bytes() -> int | None:
    """What the control group (version 2) allows; ``None`` without a limit. Cached file pages count as free."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        return max(0, limit - used + _fields(str(_CGROUP / "memory.stat"))["inactive_file"])
    except (OSError, ValueError, KeyError):  # no such file, or "max"
        return None


def _fields(path: str) -> dict[str, int]:
    """A file with a name and a number on each line, as a dictionary."""
    return {words[0]: int(words[1]) for line in Path(path).read_text().splitlines() if (words := line.split())}


def held_bytes(model: nn.Module) -> int:
    """The bytes of all tensors that the model's layers hold, each counted once.

    Replaced layers keep theirs as plain attributes, some of them in a tuple. Layers whose weights are no tensors say
    their size as ``packed_bytes``.
    """
    sizes: dict[int, int] = {}
    packed = 0
    for module in model.modules():
        packed += vars(module).get("packed_bytes", 0)
        for value in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, torch.Tensor):
                    place = _place(each)
                    sizes[place] = max(sizes.get(place, 0), each.nbytes)
    return packed + sum(sizes.values())


def _place(tensor: torch.Tensor) -> int:
    """Tells tensors of the same memory, such as tied weights. oneDNN's have no address."""
    return id(tensor) if tensor.is_mkldnn else tensor.data_ptr()


class HugePageArena:
    """Memory in 2 MiB pages, if Linux has them, for weights, which every step reads from end to end.

    The processor's table of page addresses holds a few thousand entries. With 4 KiB pages it covers a tenth of a model.
    Tensors are placed one after the other in chunks of 32 MiB or more; a chunk is freed once no tensor uses it.
    """

    def __init__(self) -> None:
        self._left = torch.empty(0, dtype=torch.uint8)

    def hold(self, tensor: torch.Tensor) -> torch.Tensor:
        """A contiguous copy of ``tensor`` in this memory."""
        size = -(-tensor.nbytes // _LINE_BYTES) * _LINE_BYTES
        if size > len(self._left):
            self._left = _chunk(max(size, _CHUNK_BYTES))
        piece, self._left = self._left[: tensor.nbytes], self._left[size:]
        return piece.view(tensor.dtype).view(tensor.shape).copy_(tensor)


def _chunk(size: int) -> torch.Tensor:
    pages = mmap.mmap(-1, size)
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is not None:
        with suppress(OSError):  # a kernel without large pages
            pages.madvise(advice)
    return torch.frombuffer(pages, dtype=torch.uint8)


def retain_freed_memory() -> None:
    """Makes glibc keep memory that torch frees, in pieces of up to a gigabyte, for the next batch.

    By default each large tensor gets new pages, which Linux clears first: 6% of a chat model's time on the CPU. With
    other C libraries nothing changes, and the log says so.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not all(mallopt(knob, _KEPT_BYTES) for knob in (_MMAP_THRESHOLD, _TRIM_THRESHOLD)):
        log.info("this C library returns freed memory to the system at once: batches are somewhat slower")
