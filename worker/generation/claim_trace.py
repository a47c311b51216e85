"""What log lines and spans say of a claim."""

from collections.abc import Iterator
from contextlib import contextmanager

from lengthwise import logs, traces
from lengthwise.kinds import pool as pools
from lengthwise.ledger.queue.claim import Claim
from lengthwise.traces import TraceSpan, semantics


@contextmanager
def about(pool: str, claim: Claim, span: TraceSpan) -> Iterator[None]:
    """For the block, log lines and spans are about this claim."""
    shards, jobs = logs.named("shard", claim.shards), logs.named("job", claim.jobs)
    trace = traces.trace_id(span.traceparent)
    with logs.bound(pool=pool, batch=None, trace=trace, **shards, **jobs), traces.within(span):
        yield


def begin(pool: str, claim: Claim) -> TraceSpan:
    """Begins the claim's span. A claim of one job belongs to its trace; every claim links the traces of its jobs."""
    sources = list(dict.fromkeys(job.trace for job in claim.jobs.values() if job.trace))
    source = sources[0] if len(sources) == len(claim.jobs) == 1 else None
    span = traces.begin("claim", source, kind="consumer", links=sources)
    if traces.is_on():
        span.add(
            {
                "lengthwise.pool": pool,
                "lengthwise.jobs": len(claim.jobs),
                "lengthwise.shards": len(claim.shards),
                "lengthwise.items": len(claim.items),
                "lengthwise.is_suspect": claim.is_suspect,
            }
        )
        span.add(semantics.of_model(pools.model_of(pool), {job.kind for job in claim.jobs.values()}))
    return span
