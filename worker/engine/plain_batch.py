"""The batch of an engine without continuous batching: it takes all requests at its start."""

from collections.abc import Callable, Generator, Sequence

from worker.engine.protocol import Completion, EngineError, Request

#: A generator that runs a batch: it yields the completions of each step.
Steps = Generator[Sequence[Completion], None, None]


class PlainBatch:
    """Calls ``run`` with the requests. Each value that it yields is one step; the batch is done when it returns."""

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
