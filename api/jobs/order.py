"""Takes a job in: what was sent becomes checked items with their lengths, written while they are read.

Everything is checked before the commit, so that a refused job leaves no row.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain, islice
from typing import Any
from uuid import UUID, uuid4

from pydantic import ValidationError
from sqlalchemy import Connection

from api.access import caller
from api.jobs.item_reader import Checked, ItemReader
from api.jobs.schema import JobHeader, Webhook
from api.problem import invalid
from lengthwise import kinds
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.kinds import pool as pools
from lengthwise.kinds import result_line as lines
from lengthwise.kinds.kind import Decoding, JobItem, JobParams, Kind, KindModel, Prompt, unknown, unknown_field
from lengthwise.ledger.jobs.idempotency import IdempotencyKey
from lengthwise.ledger.jobs.submit import NewItem, NewJob, Submission
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.settings import Settings
from lengthwise.sharding import ArrivalOrder
from lengthwise.states import Priority
from lengthwise.webhooks import target
from lengthwise.webhooks.secret import check_secret, new_secret

#: Items checked and counted at a time, by number and by bytes: enough to share each step's fixed cost, few enough to
#: stay in a core's cache and beneath the garbage collector's threshold (a token counted takes a hundred bytes).
_STRIDE_ITEMS = 64
_STRIDE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Order:
    """A job's head, checked: what it wants, of which model, and where its end is announced."""

    header: JobHeader
    kind: Kind
    params: JobParams
    spec: ModelSpec
    webhook_secret: str | None


def order(head: Any, catalog: Catalog, current: Settings) -> Order:
    """Checks everything of a job but its items. Raises ``InvalidInput``; resolves the webhook's host."""
    if not isinstance(head, dict):
        raise InvalidInput("a job is a JSON object", "body")
    named = {name: head[name] for name in JobHeader.model_fields if name in head}
    try:
        header = JobHeader.model_validate(named)
    except ValidationError as error:
        raise invalid(error) from None
    kind = kinds.KINDS.get(header.kind)
    if kind is None:
        raise unknown("kind", list(kinds.KINDS), "kind")
    rest = {name: head[name] for name in head if name not in named}
    if not rest.keys() <= kind.params_type.model_fields.keys():
        raise InvalidInput(unknown_field([*JobHeader.model_fields, *kind.params_type.model_fields, "items"]), "job")
    try:
        params = kind.params_type.model_validate(rest)
    except ValidationError as error:
        raise invalid(error) from None
    _check_deadline(header, current)
    spec = _choose(header, kind, params, catalog)
    return Order(header, kind, params, spec, webhook_secret(header.webhook, current))


def _choose(header: JobHeader, kind: Kind, params: JobParams, catalog: Catalog) -> ModelSpec:
    serving = catalog.serving(kind.name)
    if header.model is not None:
        serving = [spec for spec in serving if spec.name == header.model]
        if not serving:
            raise unknown("model for this kind", [spec.name for spec in catalog.serving(kind.name)], "model")
    if not serving:
        raise unknown("model for this kind", [], "kind")
    fitting = [spec for spec in serving if kind.serves(spec, params)]
    if not fitting:
        raise kind.unserved_error(serving)
    return fitting[0]


def _check_deadline(header: JobHeader, current: Settings) -> None:
    if header.deadline is None:
        return
    ahead = header.deadline - datetime.now(UTC)
    if not timedelta() < ahead <= timedelta(seconds=current.max_deadline_seconds):
        days = current.max_deadline_seconds // 86_400
        raise InvalidInput(f"must lie in the future, at most {days} days ahead", "deadline")


def webhook_secret(webhook: Webhook | None, current: Settings) -> str | None:
    """The secret of a webhook that may be called, its own or a new one. Raises ``InvalidInput``."""
    if webhook is None:
        return None
    if webhook.secret is not None:
        check_secret(webhook.secret)
    with suppress(target.Unresolvable):  # it may resolve by the time the job ends; the delivery checks again
        target.resolve(target.parse(webhook.url), current.webhook_allowed_networks)
    return webhook.secret or new_secret()


@dataclass
class Intake:
    """Reads one job's items into the ledger, in the transaction of ``connection``."""

    connection: Connection
    order: Order
    tenant_id: UUID
    current: Settings
    #: The request's name, and the job whose failed items these are, if there is one.
    named: IdempotencyKey | None = None
    retry_of: UUID | None = None
    job_id: UUID = field(default_factory=uuid4)
    #: That of all items, known with the first.
    _decoding: Decoding = field(init=False)

    def take(self, items: Iterable[Any]) -> None:
        """Writes all items: JSON values, or lines of NDJSON. Raises ``InvalidInput`` naming the first that is wrong."""
        order, most = self.order, self.current.max_items
        reader = ItemReader(order.kind, order.spec, order.params, self.current)
        submission: Submission | None = None
        source = iter(items)
        n_items = 0
        for raws in _strides(islice(source, most)):
            for portion in self._portions(reader.read(raws, n_items)):
                submission = submission or self._submission(portion[0].item)
                submission.add(self._counted(portion, n_items))
                n_items += len(portion)
        if submission is None:
            raise InvalidInput("a job has at least one item", "items")
        if n_items == most and any(True for _ in source):
            raise TooLarge(f"a job may have at most {most} items", "items")
        submission.finish()
        if submission.n_refused == n_items:
            raise InvalidInput(f"is longer than the {order.spec.context} tokens of the model", "items[0]", 0)

    @property
    def pool(self) -> str:
        """What its items may share an engine batch with."""
        return pools.name(self.order.spec.name, self._decoding)

    def _submission(self, first: JobItem) -> Submission:
        order, spec = self.order, self.order.spec
        self._decoding = order.kind.decoding(spec, order.params, first, 0)
        webhook = order.header.webhook
        job = NewJob(
            id=self.job_id,
            tenant_id=self.tenant_id,
            kind=order.kind.name,
            model=spec.name,
            params=order.params.model_dump(mode="json", exclude_none=True),
            pool=self.pool,
            priority=Priority[order.header.priority.upper()],
            deadline_at=order.header.deadline,
            webhook_url=webhook.url if webhook else None,
            webhook_secret=order.webhook_secret,
            deduplicate=order.header.deduplicate,
            named=self.named,
            retry_of=self.retry_of,
            key_id=caller.key_id(),
            max_open_jobs=caller.max_open_jobs(),
        )
        beams = self._decoding.beams
        arrival = ArrivalOrder(max(1, spec.batch_tokens // beams), max(1, spec.batch_rows // beams))
        return Submission(self.connection, job, arrival, self.current.shard_items, self.current.chunk_items)

    def _portions(self, checked: list[Checked]) -> Iterator[list[Checked]]:
        """The same again, cut where what the model reads would be too much at a time, however the caller cut it."""
        shared = sum(len(text) for text in self.order.params.shared_texts())
        start, size = 0, 0
        for end, each in enumerate(checked, 1):
            size += shared + len(each.payload)
            if size >= _STRIDE_BYTES or end == len(checked):
                yield checked[start:end]
                start, size = end, 0

    def _counted(self, portion: list[Checked], first: int) -> list[NewItem]:
        prompts = self._prompts([item for item, _ in portion], first)
        all_fit = self._fit(chain.from_iterable(prompts))
        found = []
        for index, ((item, payload), each) in enumerate(zip(portion, prompts, strict=True), first):
            lengths = [len(prompt.tokens) for prompt in each]
            refusal = None if all_fit or self._fit(each) else lines.failed(index, item, "too_long")
            found.append(NewItem(sum(lengths) or 1, payload, refusal, lengths))
        return found

    def _fit(self, prompts: Iterable[Prompt]) -> bool:
        """Whether the model can read each of these, and answer if it writes answers."""
        most, least = self._room
        return all(len(tokens) <= most and room >= least for tokens, room, _ in prompts)

    @cached_property
    def _room(self) -> tuple[int, int]:
        """The most tokens that the model reads, and the fewest it must be able to write."""
        return self.order.spec.context, int(self._decoding.max_new_tokens > 0)

    def _prompts(self, items: list[JobItem], first: int) -> list[list[Prompt]]:
        kind, params = self.order.kind, self.order.params
        model = KindModel(self.order.spec, tokenizer.load_counting(self.order.spec))
        try:
            return kind.prompts(model, params, items, 0)
        except InvalidInput as error:
            if len(items) == 1:
                raise InvalidInput(str(error), f"items[{first}].{error.field}", first) from None
        # One of them it was: alone, it says so itself.
        return [prompts for index, item in enumerate(items, first) for prompts in self._prompts([item], index)]


def _strides(raws: Iterable[Any]) -> Iterator[list[Any]]:
    """Portions that are small by number and, as far as they are lines, by size."""
    stride: list[Any] = []
    size = 0
    for raw in raws:
        stride.append(raw)
        size += len(raw) if isinstance(raw, bytes) else 0
        if len(stride) == _STRIDE_ITEMS or size >= _STRIDE_BYTES:
            yield stride
            stride, size = [], 0
    if stride:
        yield stride
