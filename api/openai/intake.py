"""Requests become a job's items: counted in the tokens of the model that each names, and put into its pool."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from api.openai.line import Mistake, Request
from lengthwise.errors import InvalidInput
from lengthwise.kinds import pool as pools
from lengthwise.kinds.kind import Model, Prompt
from lengthwise.kinds.openai.line import Line, Params
from lengthwise.ledger.jobs.submit import NewItem, NewJob, Submission
from lengthwise.ledger.queue import settle
from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec
from lengthwise.settings import Settings
from lengthwise.sharding import ArrivalOrder

#: What a job says whose items name several.
SEVERAL = "several"
#: Payloads of a chunk, in bytes, that a submission holds in memory.
_CHUNK_BYTES = 32 * 2**20
_PARAMS = Params()


def counted(kind: Line, request: Request) -> NewItem:
    """Raises ``Mistake`` where the model's template does not take the request."""
    item, spec, payload = request
    try:
        [prompts] = kind.prompts(Model(spec, tokenizer.counting(spec)), _PARAMS, [item])
    except InvalidInput as error:
        raise Mistake("invalid_request", str(error), error.field) from None
    decoding = kind.decoding_of(spec, _PARAMS, item, 0)
    lengths = [len(prompt.tokens) for prompt in prompts]
    fits = _fit(prompts, spec, least=int(decoding.max_new_tokens > 0))
    refusal = None if fits else kind.failed(0, item, "too_long")
    return NewItem(sum(lengths) or 1, payload, refusal, lengths, pools.name(spec.name, decoding))


def _fit(prompts: Iterable[Prompt], spec: ModelSpec, least: int) -> bool:
    return all(len(prompt.tokens) <= spec.context and prompt.max_new_tokens >= least for prompt in prompts)


def chunk_items(current: Settings, n_bytes: int, n_lines: int) -> int:
    """Items sorted together, as few as keep a chunk within what may be held in memory."""
    fitting = _CHUNK_BYTES * max(1, n_lines) // max(1, n_bytes)
    return max(64, min(current.chunk_items, fitting))


@dataclass
class Intake:
    """Writes the items of one job, in the transaction of ``connection``. ``job`` names no model and no pool yet."""

    connection: Connection
    job: NewJob
    current: Settings
    chunk_items: int
    models: set[str] = field(default_factory=set)
    _arrivals: dict[str, ArrivalOrder] = field(default_factory=dict)
    _submission: Submission | None = None

    def add(self, items: Sequence[NewItem], specs: Sequence[ModelSpec]) -> None:
        """Items with the models that they name."""
        for item, spec in zip(items, specs, strict=True):
            self.models.add(spec.name)
            pool = item.pool or self.job.pool
            if pool not in self._arrivals:
                self._arrivals[pool] = _arrival(pool, spec)
        self._writing.add(items)

    @property
    def _writing(self) -> Submission:
        if self._submission is None:
            first = next(iter(self._arrivals))
            # The same dictionary: pools that are met later are found in it.
            self._submission = Submission(
                self.connection,
                replace(self.job, pool=first),
                self._arrivals[first],
                self.current.shard_items,
                self.chunk_items,
                self._arrivals,
            )
        return self._submission

    @property
    def model(self) -> str | None:
        """Of all items, if they name one."""
        return next(iter(self.models)) if len(self.models) == 1 else None

    def finish(self) -> None:
        """Writes the job, which ends at once if none of its items can run."""
        submission = self._writing
        submission.job = replace(submission.job, model=self.model or SEVERAL)
        submission.finish()
        if submission.n_refused == submission.n_items:
            settle.complete(self.connection, [self.job.id])


def _arrival(pool: str, spec: ModelSpec) -> ArrivalOrder:
    rows = max(1, pools.rows_of(pool))
    return ArrivalOrder(max(1, spec.batch_tokens // rows), max(1, spec.batch_rows // rows))
