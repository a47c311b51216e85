"""Runs a batch to its end, for callers that have nothing to do between its steps."""

from collections.abc import Generator, Sequence
from contextlib import closing

from worker.engine.protocol import Completion, Engine, Request


def completions(engine: Engine, requests: Sequence[Request]) -> Generator[Completion, None, None]:
    """Runs the requests as one batch and yields their completions as they finish. Raises what the batch raises."""
    with closing(engine.start()) as batch:
        batch.add(requests)
        while not batch.is_done:
            yield from batch.step()
