"""Reads a job's header, which holds for all of its items. It is checked before the first item is read."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from api.intake.counting import ItemTarget
from api.jobs.schema import JOB_FORMS, JobHeader, Webhook
from api.problem import invalid
from lengthwise import kinds
from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.formats.source import SourceTable
from lengthwise.kinds.kind import JobParams, Kind, unknown, unknown_field
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.usable import check, unusable
from lengthwise.settings import Settings
from lengthwise.webhooks.secret import check_secret, new_secret

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """A checked header: what the job asks of which model, and which webhook announces its end."""

    header: JobHeader
    target: ItemTarget
    webhook_secret: str | None
    #: The table of which the items are rows.
    source: SourceTable | None = None

    @property
    def webhook_url(self) -> str | None:
        return self.header.webhook.url if self.header.webhook else None


def read_order(given: Any, catalog: Catalog, current: Settings, source: SourceTable | None = None) -> Order:
    """Checks everything of a job but its items and its webhook's host. Raises ``InvalidInput`` or ``ModelUnusable``."""
    if not isinstance(given, dict):
        raise InvalidInput("a job is a JSON object", "body")
    named = {name: given[name] for name in JobHeader.model_fields if name in given}
    try:
        header = JobHeader.model_validate(named)
    except ValidationError as error:
        raise invalid(error) from None
    kind = _find_kind(header.kind)
    rest = {name: given[name] for name in given if name not in named}
    if not rest.keys() <= kind.params_type.model_fields.keys():
        raise InvalidInput(unknown_field([*JobHeader.model_fields, *kind.params_type.model_fields, "items"]), "job")
    try:
        params = kind.params_type.model_validate(rest)
    except ValidationError as error:
        raise invalid(error) from None
    _check_deadline(header, current)
    spec = _choose(header, kind, _aimed(kind, params, source), catalog, current)
    return Order(header, ItemTarget(kind, spec, params), webhook_secret(header.webhook), source)


def _aimed(kind: Kind, params: JobParams, source: SourceTable | None) -> list[JobParams]:
    """The parameters that the model must serve: these, or those of each target."""
    if source is None or not source.targets:
        return [params]
    if "target" not in kind.item_type.model_fields:
        raise InvalidInput("this kind has no targets", "targets")
    if getattr(params, "target", None) is not None:
        raise InvalidInput("must name target or targets, not both", "targets")
    return [params.model_copy(update={"target": target}) for target in source.targets]


def _find_kind(name: str) -> Kind:
    try:
        kind = kinds.KINDS.get(name)
    except ConfigurationError as error:
        log.error("%s", error)
        raise InvalidInput("this kind is installed but cannot be loaded; the API's log says why", "kind") from None
    if kind is None:
        raise unknown("kind", list(JOB_FORMS), "kind")
    return kind


def _choose(header: JobHeader, kind: Kind, aimed: list[JobParams], catalog: Catalog, current: Settings) -> ModelSpec:
    """The model that the header names, or the first usable one that serves the job. Raises ``ModelUnusable``."""
    serving = catalog.serving(kind.name)
    if header.model is not None:
        serving = [spec for spec in serving if spec.name == header.model]
        if not serving:
            raise unknown("model for this kind", [spec.name for spec in catalog.serving(kind.name)], "model")
    if not serving:
        raise unknown("model for this kind", [], "kind")
    fitting = [spec for spec in serving if all(kind.serves(spec, params) for params in aimed)]
    if not fitting:
        raise kind.unserved_error(serving)
    is_local = current.has_local_workers
    chosen = next((spec for spec in fitting if unusable(spec, is_local=is_local) is None), fitting[0])
    check(chosen, is_local=is_local)
    return chosen


def _check_deadline(header: JobHeader, current: Settings) -> None:
    if header.deadline is None:
        return
    ahead = header.deadline - datetime.now(UTC)
    if not timedelta() < ahead <= timedelta(seconds=current.max_deadline_seconds):
        days = current.max_deadline_seconds // 86_400
        raise InvalidInput(f"must lie in the future, at most {days} days ahead", "deadline")


def webhook_secret(webhook: Webhook | None) -> str | None:
    """The webhook's secret, or a new one if it has none. Raises ``InvalidInput`` if it cannot sign."""
    if webhook is None:
        return None
    if webhook.secret is not None:
        check_secret(webhook.secret)
    return webhook.secret or new_secret()
