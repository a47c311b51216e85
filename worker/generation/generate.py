"""The bell's task: claim, plan, generate, settle, for a slice of time; the engine stays loaded in the process."""

import logging
from functools import partial

from lengthwise import queue
from lengthwise.errors import Unavailable
from worker import shutdown
from worker.engine.protocol import EngineUnavailable
from worker.generation import batch, model_reload
from worker.generation.claiming import PreparedClaim
from worker.generation.continuous_batch import ContinuousBatch
from worker.generation.pipeline import Pipeline, SettlementSchedule
from worker.generation.pool_rotation import PoolRotation

log = logging.getLogger(__name__)


def generate(pool: str) -> None:
    """Works on ``pool``, and on what is more urgent, until nothing waits or the slice is over."""
    turn = PoolRotation(pool)
    try:
        with model_reload.engines, Pipeline(turn) as pipeline:
            while prepared := pipeline.next():
                _run(prepared, pipeline)
                del prepared  # or its model would be kept beside a newer one
                if turn.is_over:
                    break
            else:
                if not shutdown.is_stopping():
                    return
    except Unavailable as error:
        log.warning("leaving the pool until the sweep rings: %s", error)
        return
    queue.ring(queue.GENERATE, [turn.pool])


def _run(prepared: PreparedClaim, pipeline: Pipeline, *, is_between: bool = False) -> None:
    """Computes a claim and lets go of it, whatever happens; ``is_between`` two batches of another one."""
    try:
        _compute(prepared, pipeline, is_between=is_between)
    except EngineUnavailable as error:
        prepared.model.pause(error.retry_after)
        log.warning(
            "model %s is left alone for %.0f s: %s", prepared.model.spec.name, prepared.model.pause_seconds, error
        )
    except BaseException:
        prepared.lease.stop()  # or what it holds would be nobody's and never expire
        raise
    pipeline.finish(prepared)


def _compute(prepared: PreparedClaim, pipeline: Pipeline, *, is_between: bool) -> None:
    """Runs every piece, those that a retry adds too, and settles each shard with its last item."""
    model = prepared.model
    if model.pause_seconds:
        return  # claimed before its engine became unavailable
    model.grow()
    if (engine := model.open_engine) and not is_between and not prepared.is_suspect:
        ContinuousBatch(prepared, pipeline, partial(_run, pipeline=pipeline, is_between=True)).run(engine)
    else:
        _compute_by_batches(prepared, pipeline, is_between=is_between)


def _compute_by_batches(prepared: PreparedClaim, pipeline: Pipeline, *, is_between: bool) -> None:
    work, model, lease = prepared.work, prepared.model, prepared.lease
    settling = SettlementSchedule(prepared, pipeline)
    done = 0
    while done < len(work.pieces):
        indexes = range(done, len(work.pieces))
        done = len(work.pieces)
        # A claim's items come with the most urgent first: their batch does not wait for longer ones.
        batches = sorted(model.plan(work.lengths(indexes), work.beams), key=min)
        for number, planned in enumerate(batches, 1):
            if shutdown.is_stopping():
                break
            if not is_between and (urgent := pipeline.more_urgent(prepared)):
                _run(urgent, pipeline, is_between=True)
            if number == len(batches) and not is_between:
                pipeline.look_ahead(prepared)
            lease.check()
            held = [indexes[at] for at in planned if lease.holds(work.shard_of(indexes[at]))]
            is_waited_for = prepared.is_urgent
            if held:
                batch.run(work, model, held)
            settling.settle(at_once=is_waited_for)
