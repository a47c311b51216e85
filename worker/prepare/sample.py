"""A sample of real work: items as one would post them, as requests for an engine."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import Item, Kind, Model
from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec, ModerateOptions
from worker.engine.protocol import Architecture, Request

_KIND_OF = {
    Architecture.CLASSIFIER: "moderate",
    Architecture.ENCODER_DECODER: "translate",
    Architecture.DECODER_ONLY: "generate",
}


@dataclass(frozen=True, slots=True)
class Sample:
    kind: str
    n_items: int
    #: Numbered from 0 on; always greedy, so that two models can be compared.
    requests: list[Request]
    #: The item that each request is of.
    item_of: list[int]
    #: From which probability on a classifier's label counts.
    threshold: float


def read(path: Path, spec: ModelSpec, architecture: Architecture) -> Sample:
    """Reads NDJSON: an item a line; a first line with ``kind`` holds the job's parameters, as one would post it.

    Raises ``ConfigurationError`` naming the first line that is wrong, never what it holds.
    """
    if architecture is Architecture.EMBEDDER:
        raise ConfigurationError("--sample: vectors are not compared here: prepare an embedder without one")
    lines = _lines(path)
    head = lines.pop(0)[1] if lines and isinstance(lines[0][1], dict) and "kind" in lines[0][1] else {}
    kind = _kind(head, spec, architecture, path)
    try:
        params = kind.params_type.model_validate({key: value for key, value in head.items() if key != "kind"})
    except ValidationError as error:
        raise ConfigurationError(f"{path}: line 1 holds no parameters of {kind.name}: {_reason(error)}") from None
    if not lines:
        raise ConfigurationError(f"{path} holds no items")
    items = [_item(kind, spec, params, value, f"{path}: line {number}") for number, value in lines]
    prompts = kind.prompts(Model(spec, tokenizer.load(spec)), params, items)
    owners = [place for place, each in enumerate(prompts) for _ in each]
    flat = [prompt for each in prompts for prompt in each]
    for place, prompt in zip(owners, flat, strict=True):
        if not 0 < len(prompt.tokens) <= spec.context:
            raise ConfigurationError(f"{path}: line {lines[place][0]} is empty or longer than the model reads")
    stop = kind.decoding(spec, params).stop
    requests = [
        Request(number, tokens, limit, stop, decoder_prefix=prefix)
        for number, (tokens, limit, prefix, _) in enumerate(flat)
    ]
    threshold = getattr(params, "threshold", None) or (spec.moderate or ModerateOptions()).threshold
    return Sample(kind.name, len(items), requests, owners, threshold)


def _lines(path: Path) -> list[tuple[int, Any]]:
    """The numbers of the lines that are not empty, and what they say."""
    found = []
    try:
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
            if line.strip():
                found.append((number, json.loads(line)))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__})") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{path}: line {number} is not JSON") from None
    return found


def _kind(head: dict[str, Any], spec: ModelSpec, architecture: Architecture, path: Path) -> Kind:
    possible = spec.kinds or (_KIND_OF[architecture], *(["chat"] if architecture is Architecture.DECODER_ONLY else []))
    name = head.get("kind", possible[0])
    if name not in possible:
        raise ConfigurationError(f"{path}: line 1 names a kind that the model does not serve: {', '.join(possible)}")
    return KINDS[name]


def _item(kind: Kind, spec: ModelSpec, params: Any, value: Any, where: str) -> Item:
    if isinstance(value, dict) and not value.keys() <= kind.item_type.model_fields.keys():
        raise ConfigurationError(f"{where} is no item of {kind.name}: it has an unknown field")
    try:
        item = kind.item_type.model_validate({"text": value} if isinstance(value, str) else value)
        if kind.name in spec.kinds:
            kind.check(spec, params, item)
    except ValidationError as error:
        raise ConfigurationError(f"{where} is no item of {kind.name}: {_reason(error)}") from None
    except InvalidInput as error:
        raise ConfigurationError(f"{where}: {error}") from None
    return item


def _reason(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field}: {first['msg']}" if field else first["msg"].removeprefix("Value error, ")


def batches(sample: Sample, groups: Sequence[Sequence[int]]) -> list[list[Request]]:
    """The requests of each batch."""
    return [[sample.requests[number] for number in group] for group in groups]
