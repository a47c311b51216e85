"""Decode steps captured as CUDA graphs, and replayed as long as no row moves in memory.

Launching the hundreds of small kernels of a step one by one takes several times as long as the GPU needs to run them.
"""

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

log = logging.getLogger(__name__)

#: Tokens of memory that each row gets beyond its length: until they are used up no row moves, and graphs stay valid.
GRAPH_HEADROOM = 128


class NotCapturableError(RuntimeError):
    """The step depends on numbers that the CPU must know, such as lengths, so it cannot be captured."""


class CaptureContext:
    """What the CUDA graphs of one model share: their memory pool, their stream, and whether capture works at all."""

    def __init__(self, can_capture: bool = True) -> None:
        self.can_capture = can_capture

    @cached_property
    def pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    @cached_property
    def stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm(self, launch: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Runs a step without a graph, on the capturing stream, so that libraries initialize before the capture."""
        if not self.can_capture:
            return launch()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            found = launch()
        torch.cuda.current_stream().wait_stream(self.stream)
        return found


class CapturedStep:
    """A decode step of rows that stay in place: launched the first time, captured the second, then replayed.

    ``lengths`` are the rows' lengths including the first token to be written. ``write(tokens, lengths)`` computes the
    scores from tensors on the device alone, and raises ``NotCapturableError`` if it cannot.
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
        """The scores ``[rows, vocabulary]``; the next run overwrites them. ``launch`` computes them without a graph."""
        if self._graph is None and self._has_run and self._capture.can_capture:
            self._capture_graph()
        if self._graph is None:
            self._has_run = True
            self._lengths += 1
            return self._capture.warm(launch)
        self._tokens.copy_(tokens)
        self._graph.replay()
        return self._scores

    def _capture_graph(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # "thread_local": another thread may be loading a new revision of the model, and its calls are not captured.
            with torch.cuda.graph(graph, self._capture.pool, self._capture.stream, "thread_local"):
                self._lengths += 1
                self._scores = self._write(self._tokens, self._lengths)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._capture.can_capture = False
            log.warning(
                "this model's decode steps cannot be captured as CUDA graphs (%s): kernels are launched one by one",
                type(error).__name__,
            )
            return
        self._graph = graph


class DeviceCount(torch.Tensor):
    """A token count on the device that transformers' modules can use like a plain number.

    Modules add it to positions, and compare it with the size of their position tables. The comparison is always false:
    it would wait for the device, and the tables are as long as any answer.
    """

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.Tensor.gt, torch.Tensor.__gt__):
            return False
        with torch._C.DisableTorchFunctionSubclass():
            found = function(*args, **(kwargs or {}))
        is_number = function in (torch.Tensor.add, torch.Tensor.__radd__) and isinstance(args[1], int)
        return found.as_subclass(cls) if is_number else found
