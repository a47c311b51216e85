"""The batch of an engine that takes all requests at once: without continuous batching."""

from collections.abc import Callable, Generator, Sequence

from worker.engine.protocol import Completion, EngineError, Request

#: What an engine does with the requests of a batch: it yields the completions of one step after the other.
Steps = Generator[Sequence[Completion], None, None]


class PlainBatch:
    """``run`` is called with the requests; each of its portions is a step, and its end is that of the batch."""

    def __init__(self, run: Callable[[Sequence[Request]], Steps]) -> None:
        self._run = run
        self._steps: Steps | None = None
        self._is_closed = False
        self.is_done = True

    def add(self, requests: Sequence[Request]) -> None:
        """See ``EngineBatch.add``."""
        if self._is_closed:
            raise EngineError("the batch is closed")
        if not requests:
            return
        if self._steps is not None:
            self.close()
            raise EngineError("this engine takes all requests of a batch at once")
        self._steps = self._run(requests)
        self.is_done = False

    def step(self) -> Sequence[Completion]:
        """See ``EngineBatch.step``."""
        if self.is_done or self._steps is None:
            return ()
        try:
            finished = next(self._steps, None)
        except BaseException:
            self.close()
            raise
        self.is_done = finished is None
        return finished or ()

    def close(self) -> None:
        """See ``EngineBatch.close``."""
        self._is_closed = self.is_done = True
        if self._steps is not None:
            self._steps.close()
