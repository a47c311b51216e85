"""Kinds as the tests of this folder drive them: one item in, its prompts or its output out."""

from pathlib import Path
from typing import Any

from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import Answer, Model, Prompt
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog
from tests.fakes import write_catalog


def echo_model(folder: Path) -> Model:
    spec = Catalog.read(write_catalog(folder)).models["echo"]
    return Model(spec, tokenizer.load(spec))


def with_options(model: Model, **options: Any) -> Model:
    return Model(model.spec.model_copy(update=options), model.tokenizer)


def prompts_of(
    model: Model, kind: str, item: dict[str, Any], params: dict[str, Any] | None = None, *, retry: bool = False
) -> list[Prompt]:
    found = KINDS[kind]
    checked = found.item_type.model_validate(item)
    [prompts] = found.prompts(model, found.params_type.model_validate(params or {}), [checked], retry=retry)
    return prompts


def output_of(
    model: Model,
    kind: str,
    item: dict[str, Any],
    answers: list[Answer],
    params: dict[str, Any] | None = None,
    *,
    retry: bool = False,
) -> dict[str, Any] | None:
    found = KINDS[kind]
    prompts = prompts_of(model, kind, item, params, retry=retry)
    checked = found.item_type.model_validate(item)
    return found.output(model, found.params_type.model_validate(params or {}), checked, prompts, answers)


def stopped(text: str) -> Answer:
    return Answer(text, "stop")
