"""Takes a job in: what was sent becomes checked items with their lengths, written while they are read.

Everything is checked before the commit, so that a refused job leaves no row.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import Connection

from api.problem import invalid
from api.schema import JobHeader
from lengthwise import kinds, target, tokenizer
from lengthwise import line as lines
from lengthwise.catalog import Catalog, ModelSpec
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.kinds.kind import Item, Kind, Model, Params, Prompt, unknown, unknown_field
from lengthwise.ledger.idempotency import Named
from lengthwise.ledger.submit import NewItem, NewJob, Submission
from lengthwise.secret import check_secret, new_secret
from lengthwise.settings import Settings
from lengthwise.sharding import ArrivalOrder
from lengthwise.states import Priority

#: Items checked and counted at a time, by number and by bytes: enough for the tokenizer to be quick, few enough to hold
#: (a token counted takes it a hundred bytes).
_STRIDE_ITEMS = 1000
_STRIDE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Order:
    """A job's head, checked: what it wants, of which model, and where its end is announced."""

    header: JobHeader
    kind: Kind
    params: Params
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
    return Order(header, kind, params, spec, _webhook_secret(header, current))


def _choose(header: JobHeader, kind: Kind, params: Params, catalog: Catalog) -> ModelSpec:
    serving = catalog.serving(kind.name)
    if header.model is not None:
        serving = [spec for spec in serving if spec.name == header.model]
        if not serving:
            raise unknown("model for this kind", [spec.name for spec in catalog.serving(kind.name)], "model")
    fitting = [spec for spec in serving if kind.serves(spec, params)]
    if not fitting:
        pairs = [f"{a}→{b}" for spec in serving if spec.translate for a, b in spec.translate.pairs]
        raise unknown("language pair" if pairs else "model for this kind", pairs, "target" if pairs else "kind")
    return fitting[0]


def _check_deadline(header: JobHeader, current: Settings) -> None:
    if header.deadline is None:
        return
    ahead = header.deadline - datetime.now(UTC)
    if not timedelta() < ahead <= timedelta(seconds=current.max_deadline_seconds):
        days = current.max_deadline_seconds // 86_400
        raise InvalidInput(f"must lie in the future, at most {days} days ahead", "deadline")


def _webhook_secret(header: JobHeader, current: Settings) -> str | None:
    if header.webhook is None:
        return None
    if header.webhook.secret is not None:
        check_secret(header.webhook.secret)
    with suppress(target.Unresolvable):  # it may resolve by the time the job ends; the delivery checks again
        target.resolve(target.parse(header.webhook.url), current.webhook_allowed_networks)
    return header.webhook.secret or new_secret()


@dataclass(frozen=True, slots=True)
class _Checked:
    """One item and the JSON that is stored of it."""

    item: Item
    payload: bytes


@dataclass
class Intake:
    """Reads one job's items into the ledger, in the transaction of ``connection``."""

    connection: Connection
    order: Order
    tenant_id: UUID
    current: Settings
    #: The request's name, and the job whose failed items these are, if there is one.
    named: Named | None = None
    retry_of: UUID | None = None
    job_id: UUID = field(default_factory=uuid4)
    _ids: set[bytes] = field(default_factory=set)

    def take(self, items: Iterable[Any]) -> None:
        """Writes all items. Raises ``InvalidInput`` naming the first one that is wrong."""
        submission = self._submission()
        n_items = 0
        for stride in self._strides(items):
            submission.add(self._counted(stride, n_items))
            n_items += len(stride)
        if n_items == 0:
            raise InvalidInput("a job has at least one item", "items")
        submission.finish()
        if submission.n_refused == n_items:
            raise InvalidInput(f"is longer than the {self.order.spec.context} tokens of the model", "items[0]", 0)

    def _submission(self) -> Submission:
        order, spec = self.order, self.order.spec
        webhook = order.header.webhook
        job = NewJob(
            id=self.job_id,
            tenant_id=self.tenant_id,
            kind=order.kind.name,
            model=spec.name,
            params=order.params.model_dump(mode="json", exclude_none=True),
            pool=pool(order),
            priority=Priority[order.header.priority.upper()],
            deadline_at=order.header.deadline,
            webhook_url=webhook.url if webhook else None,
            webhook_secret=order.webhook_secret,
            deduplicate=order.header.deduplicate,
            named=self.named,
            retry_of=self.retry_of,
        )
        arrival = ArrivalOrder(spec.batch_tokens, spec.batch_rows)
        return Submission(self.connection, job, arrival, self.current.shard_items, self.current.chunk_items)

    def _strides(self, items: Iterable[Any]) -> Iterator[list[_Checked]]:
        """The items, checked, in portions that are small by number and by size, however the caller cut them."""
        shared = sum(len(text) for text in self.order.params.shared_texts())
        stride: list[_Checked] = []
        size = 0
        for index, raw in enumerate(items):
            if index == self.current.max_items:
                raise TooLarge(f"a job may have at most {index} items", "items")
            stride.append(self._checked(raw, index))
            size += shared + len(stride[-1].payload)
            if len(stride) == _STRIDE_ITEMS or size >= _STRIDE_BYTES:
                yield stride
                stride, size = [], 0
        if stride:
            yield stride

    def _checked(self, raw: Any, index: int) -> _Checked:
        try:
            item = self.order.kind.item_type.model_validate({"text": raw} if isinstance(raw, str) else raw)
        except ValidationError as error:
            raise invalid(error, f"items[{index}]", index) from None
        try:
            self.order.kind.check(self.order.spec, self.order.params, item)
            self._check_sizes(item)
            self._check_id(item)
        except InvalidInput as error:
            raise type(error)(str(error), f"items[{index}].{error.field}", index) from None
        return _Checked(item, to_json(item.model_dump(mode="python", exclude_none=True)))

    def _check_sizes(self, item: Item) -> None:
        most, most_bytes = self.current.max_text_characters, self.current.max_metadata_bytes
        if sum(len(text) for text in item.texts()) > most:
            name = "text" if "text" in item.model_fields_set else "messages"
            raise TooLarge(f"may have at most {most} characters", name)
        if item.metadata is not None and len(to_json(item.metadata)) > most_bytes:
            raise TooLarge(f"may have at most {most_bytes} bytes as JSON", "metadata")

    def _check_id(self, item: Item) -> None:
        if item.id is None:
            return
        seen = hashlib.blake2b(item.id.encode(), digest_size=16).digest()  # a million long ids would be heavy
        if seen in self._ids:
            raise InvalidInput("another item of this job has the same id", "id")
        self._ids.add(seen)

    def _counted(self, stride: list[_Checked], first: int) -> list[NewItem]:
        order = self.order
        writes = order.kind.decoding(order.spec, order.params).max_new_tokens > 0
        prompts = self._prompts([checked.item for checked in stride], first)
        return [
            self._new(checked, index, its_prompts, writes)
            for index, (checked, its_prompts) in enumerate(zip(stride, prompts, strict=True), first)
        ]

    def _prompts(self, items: list[Item], first: int) -> list[list[Prompt]]:
        kind, params = self.order.kind, self.order.params
        model = Model(self.order.spec, tokenizer.of(self.order.spec))
        try:
            return kind.prompts(model, params, items)
        except InvalidInput as error:
            if len(items) == 1:
                raise InvalidInput(str(error), f"items[{first}].{error.field}", first) from None
        # One of them it was: alone, it says so itself.
        return [prompts for index, item in enumerate(items, first) for prompts in self._prompts([item], index)]

    def _new(self, checked: _Checked, index: int, prompts: list[Prompt], writes: bool) -> NewItem:
        lengths = [len(prompt.tokens) for prompt in prompts]
        fits = all(
            len(prompt.tokens) <= self.order.spec.context and (prompt.max_new_tokens > 0 or not writes)
            for prompt in prompts
        )
        refusal = None if fits else lines.failed(index, checked.item, "too_long")
        return NewItem(max(1, sum(lengths)), checked.payload, refusal, lengths)


def pool(order: Order) -> str:
    """What may share an engine batch: the model and how it decodes, as ``model:hash``."""
    decoding = to_json(asdict(order.kind.decoding(order.spec, order.params)))
    return f"{order.spec.name}:{hashlib.sha256(decoding).hexdigest()[:12]}"
