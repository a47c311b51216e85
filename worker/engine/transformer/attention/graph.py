"""Steps that a GPU is told of at once: recorded as a CUDA graph, and replayed as long as nothing moves.

Launched one by one, the hundreds of small kernels of a step take several times as long as the GPU needs for them.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

log = logging.getLogger(__name__)

#: Tokens that each row has room for beyond what it has: until then nothing moves, and a step can be replayed.
GRAPH_HEADROOM = 128


class NotCapturableError(RuntimeError):
    """What a step does follows from more than its tensors."""


class CaptureContext:
    """Of one model: whether its steps can be recorded, and what its graphs share."""

    def __init__(self, can_capture: bool = True) -> None:
        self.can_capture = can_capture

    @cached_property
    def pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    @cached_property
    def stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm(self, launch: Callable[[], torch.Tensor]) -> torch.Tensor:
        """On the stream that records: what libraries prepare at first must not be in a graph."""
        if not self.can_capture:
            return launch()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            found = launch()
        torch.cuda.current_stream().wait_stream(self.stream)
        return found


class CapturedStep:
    """A step of rows that stay where they are, launched at first, recorded the second time, and replayed from then on.

    ``lengths``: those with the first token that is to be written. ``write`` gives the scores of ids where rows have so
    many tokens, told on the device; it raises ``NotCapturableError`` if it cannot.
    """

    def __init__(
        self,
        capture: CaptureContext,
        write: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        tokens: torch.Tensor,
        lengths: Sequence[int],
    ) -> None:
        self._capture, self._write = capture, write
        self._tokens = torch.zeros_like(tokens)
        self._lengths = torch.tensor(lengths, device=tokens.device) - 1
        self._graph: torch.cuda.CUDAGraph | None = None
        self._has_run = False

    def run(self, tokens: torch.Tensor, launch: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The scores ``[rows, vocabulary]``, which the next run overwrites. ``launch`` gives them step by step."""
        if self._graph is None and self._has_run and self._capture.can_capture:
            self._record()
        if self._graph is None:
            self._has_run = True
            self._lengths += 1
            return self._capture.warm(launch)
        self._tokens.copy_(tokens)
        self._graph.replay()
        return self._scores

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # Another thread may be loading the next revision of the model meanwhile.
            with torch.cuda.graph(graph, self._capture.pool, self._capture.stream, "thread_local"):
                self._lengths += 1
                self._scores = self._write(self._tokens, self._lengths)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._capture.can_capture = False
            log.warning("this model's steps cannot be recorded (%s): launched one by one", type(error).__name__)
            return
        self._graph = graph


class DeviceCount(torch.Tensor):
    """A number of tokens on the device, for modules that take it for a plain one.

    They add it to positions, and ask whether their tables have to grow: these are as long as any answer.
    """

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.Tensor.gt, torch.Tensor.__gt__):
            return False
        with torch._C.DisableTorchFunctionSubclass():
            found = function(*args, **(kwargs or {}))
        is_number = function in (torch.Tensor.add, torch.Tensor.__radd__) and isinstance(args[1], int)
        return found.as_subclass(cls) if is_number else found
