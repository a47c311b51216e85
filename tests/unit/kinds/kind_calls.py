"""Calls a kind with one item, for its prompts or its output."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lengthwise import result_field
from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog
from tests.fakes import write_catalog


def echo_model(folder: Path) -> KindModel:
    spec = Catalog.read(write_catalog(folder)).models["echo"]
    return KindModel(spec, tokenizer.load(spec))


def with_options(model: KindModel, **options: Any) -> KindModel:
    return KindModel(model.spec.model_copy(update={"kind_options": model.spec.kind_options | options}), model.tokenizer)


def prompts_of(
    model: KindModel, kind: str, item: dict[str, Any], params: dict[str, Any] | None = None, *, retry: bool = False
) -> list[Prompt]:
    found = KINDS[kind]
    checked = found.item_type.model_validate(item)
    [prompts] = found.prompts(model, found.params_type.model_validate(params or {}), [checked], int(retry))
    return prompts


def output_of(
    model: KindModel,
    kind: str,
    item: dict[str, Any],
    answers: list[ModelAnswer],
    params: dict[str, Any] | None = None,
    *,
    retry: bool = False,
) -> dict[str, Any] | None:
    """The output, each field of which must be one that filters of webhooks may name."""
    found = KINDS[kind]
    checked = found.item_type.model_validate(item)
    output = found.output(model, found.params_type.model_validate(params or {}), checked, answers, int(retry))
    declared = found.output_fields([model.spec])
    assert declared is None or all(result_field.is_known(path, declared) for path in leaves(output or {}))
    return output


def leaves(value: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, inner in value.items():
        below = list(leaves(inner)) if isinstance(inner, dict) else [()]
        yield from ((name, *path) for path in below)


def stopped(text: str) -> ModelAnswer:
    return ModelAnswer(text, "stop")
