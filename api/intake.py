"""Takes a job in: what was sent becomes checked items with their lengths, written while they are read.

Everything is checked before the commit, so that a refused job leaves no row.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
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
from lengthwise.kinds.kind import Item, Kind, Model, Params, Prompt, unknown
from lengthwise.ledger.submit import NewItem, NewJob, Submission
from lengthwise.secret import check_secret, new_secret
from lengthwise.settings import Settings
from lengthwise.sharding import ArrivalOrder
from lengthwise.states import Priority

#: Items checked and counted at a time: enough for the tokenizer to be quick, few enough to hold.
_STRIDE = 1000


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
    try:
        params = kind.params_type.model_validate({name: head[name] for name in head if name not in named})
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
    try:
        target.resolve(target.parse(header.webhook.url), current.webhook_allowed_networks)
    except target.Unresolvable:
        pass  # it may resolve by the time the job ends; the delivery checks again
    return header.webhook.secret or new_secret()


@dataclass
class Intake:
    """Reads one job's items into the ledger, in the transaction of ``connection``."""

    connection: Connection
    order: Order
    tenant_id: UUID
    current: Settings
    job_id: UUID = field(default_factory=uuid4)
    _ids: set[str] = field(default_factory=set)
    _n_items: int = 0

    def take(self, items: Iterable[Any]) -> None:
        """Writes all items. Raises ``InvalidInput`` naming the first one that is wrong."""
        submission = self._submission()
        source = iter(items)
        while batch := list(islice(source, _STRIDE)):
            if self._n_items + len(batch) > self.current.max_items:
                raise TooLarge(f"a job may have at most {self.current.max_items} items", "items")
            parsed = [self._item(raw, index) for index, raw in enumerate(batch, self._n_items)]
            submission.add(self._counted(parsed))
            self._n_items += len(batch)
        if self._n_items == 0:
            raise InvalidInput("a job has at least one item", "items")
        submission.finish()
        if submission.n_refused == self._n_items:
            raise InvalidInput(
                f"the text has more tokens than the model's {self.order.spec.context}", "items[0].text", 0
            )

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
        )
        arrival = ArrivalOrder(spec.batch_tokens, spec.batch_rows)
        return Submission(self.connection, job, arrival, self.current.shard_items, self.current.chunk_items)

    def _item(self, raw: Any, index: int) -> Item:
        at = f"items[{index}]"
        try:
            item = self.order.kind.item_type.model_validate({"text": raw} if isinstance(raw, str) else raw)
        except ValidationError as error:
            raise invalid(error, at, index) from None
        try:
            self.order.kind.check(self.order.spec, self.order.params, item)
        except InvalidInput as error:
            raise type(error)(str(error), f"{at}.{error.field}", index) from None
        if item.id is not None:
            if item.id in self._ids:
                raise InvalidInput("another item of this job has the same id", f"{at}.id", index)
            self._ids.add(item.id)
        if len(getattr(item, "text", None) or "") > self.current.max_text_characters:
            raise TooLarge(
                f"a text may have at most {self.current.max_text_characters} characters", f"{at}.text", index
            )
        return item

    def _counted(self, items: list[Item]) -> list[NewItem]:
        order = self.order
        writes = order.kind.decoding(order.spec, order.params).max_new_tokens > 0
        return [
            self._new(item, index, prompts, writes)
            for index, (item, prompts) in enumerate(zip(items, self._prompts(items), strict=True), self._n_items)
        ]

    def _prompts(self, items: list[Item]) -> list[list[Prompt]]:
        order = self.order
        model = Model(order.spec, tokenizer.of(order.spec))
        try:
            return order.kind.prompts(model, order.params, items)
        except InvalidInput as error:
            if len(items) == 1:
                raise InvalidInput(str(error), f"items[{self._n_items}].{error.field}", self._n_items) from None
        for item in items:  # which of them was it?
            self._prompts([item])
            self._n_items += 1
        return []

    def _new(self, item: Item, index: int, prompts: list[Prompt], writes: bool) -> NewItem:
        n_tokens = max(1, sum(len(prompt.tokens) for prompt in prompts))
        fits = all(
            len(prompt.tokens) <= self.order.spec.context and (prompt.max_new_tokens > 0 or not writes)
            for prompt in prompts
        )
        payload = to_json(item.model_dump(mode="python", exclude_none=True))
        return NewItem(n_tokens, payload, None if fits else lines.failed(index, item, "too_long"))


def pool(order: Order) -> str:
    """What may share an engine batch: the model and how it decodes, as ``model:hash``."""
    decoding = to_json(asdict(order.kind.decoding(order.spec, order.params)))
    return f"{order.spec.name}:{hashlib.sha256(decoding).hexdigest()[:12]}"
