"""A reason in one sentence, with what to do about it."""

from collections.abc import Callable
from datetime import datetime

from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.why import Why
from lengthwise.states import JobState, Reason

_START_DELIVERY = "start one with `lengthwise worker --queues deliver`"
_START_GENERATION = "start one with `lengthwise worker --queues generate`"


def of_job(why: Why, job: JobFigures) -> str:
    """What is said of a job."""
    if why.reason is Reason.ENDED:
        return _ended(job)
    return of_batch(why)


def of_batch(why: Why) -> str:
    """The same where the reason alone says it."""
    return _SENTENCES[why.reason](why)


def _ended(job: JobFigures) -> str:
    if job.state is not JobState.COMPLETED:
        return f"The job was {job.state.value} before every item had run; nothing more happens."
    if job.n_failed:
        return (
            f"The job is done, and {_count(job.n_failed, 'item')} failed: the errors by code say why, and what to do."
        )
    return "The job is done; nothing more happens."


def _delivering(why: Why) -> str:
    waiting = _count(why.n_webhooks, "webhook") if why.n_webhooks else "webhooks of its results"
    begun = f"The job has ended, and {waiting} {'is' if why.n_webhooks == 1 else 'are'} still to be sent"
    if not why.n_delivering:
        return f"{begun}, but no delivery worker is alive: {_START_DELIVERY}."
    if why.n_sending or not why.attempts:
        return f"{begun}; this takes a moment, and nothing is to be done."
    answered = f"the receiver answered {why.status}" if why.status else "the receiver did not answer"
    return f"{begun}: after {_count(why.attempts, 'attempt')} {answered}, and the next is {_at(why.until)}; check it."


def _validating(why: Why) -> str:
    if why.is_busy:
        return "The batch's file is being read; its items wait for nothing else."
    if why.attempts:
        tries = _count(why.attempts, "attempt")
        return f"Reading the batch's file failed ({tries}), and the next is {_at(why.until)}; the API's log says why."
    ahead = f", after {_count(why.n_ahead, 'other file')}" if why.n_ahead else ""
    return f"The batch's file is still to be read{ahead}; if this lasts, check that an API process runs."


def _ending(why: Why) -> str:
    done = "Every item has its result"
    if why.n_delivering:
        return f"{done}, and the job ends within half a minute; nothing is to be done."
    return f"{done}, but the job is still to be ended, and no delivery worker is alive: {_START_DELIVERY}."


def _no_worker(why: Why) -> str:
    if why.workers:
        silent = "The only generation worker is" if why.workers == 1 else f"All {why.workers} generation workers are"
        return f"{silent} silent, last seen {_at(why.since)}: see whether it is frozen, or {_START_GENERATION}."
    if why.since:
        return f"Every generation worker is shutting down: {_START_GENERATION}."
    return f"No generation worker was seen: {_START_GENERATION}."


def _running(why: Why) -> str:
    return f"{_count(why.workers, 'worker')} {'works' if why.workers == 1 else 'work'} on it; nothing is to be done."


def _bisecting(why: Why) -> str:
    died = f"{_count(why.deaths, 'worker')} died over it, and" if why.deaths else "A worker died over it, and"
    return f"{died} its items run alone until the one to blame is found; the workers' logs say how they ended."


def _no_delivery_worker(_: Why) -> str:
    return f"No delivery worker is alive, and only one gives it to a generation worker again: {_START_DELIVERY}."


def _model_unknown(why: Why) -> str:
    return f"No worker's models.toml names the model {why.model}: add it there, or cancel the job."


def _model_not_served(why: Why) -> str:
    cause = why.cause or "its log says why"
    return f"None of {_count(why.workers, 'live worker')} could load the model {why.model} ({cause}): mend its folder."


def _engine_paused(why: Why) -> str:
    cause = f" ({why.cause})" if why.cause else ""
    return f"The engine of {why.model} is unavailable{cause} and tried again {_at(why.until)}; check its server."


def _retrying(why: Why) -> str:
    tried = f"failed {_count(why.attempts, 'time')}" if why.attempts else "was unavailable"
    return f"The model {why.model} {tried}, and its items run again {_at(why.until)}; the worker's log says why."


def _ahead(why: Why) -> str:
    least = "at least " if why.is_beyond else ""
    return f"{least}{_count(why.n_ahead, 'shard')} ({why.n_tokens_ahead} tokens)"


def _behind_urgent(why: Why) -> str:
    first = f"{_ahead(why)} of its model" if why.n_ahead else "work of other models"
    return f"More urgent work comes before it ({first}); raise the priority of such jobs, or add workers."


def _behind_others(why: Why) -> str:
    if why.n_ahead:
        if why.share == 1:  # no other tenant has work in this queue
            return f"Before it come {_ahead(why)} of its own tenant; add workers."
        tenants = _count(why.n_tenants_ahead, "tenant")
        share = f"its tenant gets {why.share:.0%} of the work"
        return f"Before it come {_ahead(why)} of {tenants}, and {share}; add workers, or give it more weight."
    if why.is_beyond:
        return "It stands far behind in its queue, after shards that were put off; add workers."
    return f"Workers take turns between its model and {_count(why.n_other_pools, 'other queue')}; add workers."


def _next(why: Why) -> str:
    if why.is_busy:
        return "It is next, and begins when a worker has ended what it runs; nothing is to be done."
    return "It is next, and a worker takes it in a moment; if this lasts, check the broker and the workers' logs."


_SENTENCES: dict[Reason, Callable[[Why], str]] = {
    Reason.DELIVERING: _delivering,
    Reason.VALIDATING: _validating,
    Reason.ENDING: _ending,
    Reason.NO_WORKER: _no_worker,
    Reason.RUNNING: _running,
    Reason.MODEL_UNKNOWN: _model_unknown,
    Reason.MODEL_NOT_SERVED: _model_not_served,
    Reason.ENGINE_PAUSED: _engine_paused,
    Reason.RETRYING: _retrying,
    Reason.BISECTING: _bisecting,
    Reason.BEHIND_URGENT: _behind_urgent,
    Reason.BEHIND_OTHERS: _behind_others,
    Reason.NO_DELIVERY_WORKER: _no_delivery_worker,
    Reason.NEXT: _next,
}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _at(at: datetime | None) -> str:
    return f"at {at:%H:%M:%S} UTC" if at else "soon"
