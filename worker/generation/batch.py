"""Runs one engine batch; what a failure leaves unanswered is halved until the item that is to blame stands alone."""

import logging
import time
from collections.abc import Sequence

from worker.engine.protocol import Completion, Engine, EngineError, EngineUnavailable, OutOfMemoryError
from worker.generation import watchdog
from worker.generation.models import LoadedModel
from worker.generation.work import Work

log = logging.getLogger(__name__)


def run(work: Work, model: LoadedModel, batch: Sequence[int]) -> None:
    """Answers or fails each of these pieces of ``work``. Raises ``EngineUnavailable``, with some of them answered."""
    began_at = time.monotonic()
    computed = model.computed(work.lengths(batch))
    work.charge(batch, computed)
    completions, error = _attempt(work, model.engine, batch)
    computed_at = time.monotonic()
    work.answer(completions)
    if isinstance(error, EngineUnavailable):
        raise error  # whoever stands alone would be as innocent
    if error is None:
        model.took(time.monotonic() - began_at, computed_at - began_at)
        return
    answered = {completion.id for completion in completions}
    rest = [index for index in batch if index not in answered]
    log.warning("batch of %d failed (%s), %d to run again", len(batch), type(error).__name__, len(rest))
    isolate(work, model, rest, error, sum(computed), is_alone=len(batch) == 1)


def isolate(
    work: Work, model: LoadedModel, rest: Sequence[int], error: EngineError, n_tokens: int, *, is_alone: bool
) -> None:
    """Runs what a batch of ``n_tokens`` left unanswered by halves; who stood alone in it is to blame."""
    is_memory = isinstance(error, OutOfMemoryError)
    if is_alone:
        for index in rest:
            work.fail(index, "out_of_memory" if is_memory else "engine_error")
        return
    if is_memory:
        model.shrink(n_tokens * work.beams)
    middle = (len(rest) + 1) // 2
    for half in (rest[:middle], rest[middle:]):
        if half:
            run(work, model, half)


def _attempt(
    work: Work, engine: Engine, batch: Sequence[int]
) -> tuple[list[Completion], EngineError | EngineUnavailable | None]:
    """The completions of one batch, and what ended it before all were there."""
    completions: list[Completion] = []
    try:
        with watchdog.watched() as progress:
            for completion in engine.generate([work.request(index) for index in batch]):
                completions.append(completion)  # one by one: those before an error are kept
                progress()
    except (EngineError, EngineUnavailable) as error:
        return completions, error
    if len(completions) < len(batch):
        return completions, EngineError("the engine left requests unanswered")
    return completions, None
