"""Reads a sample of real work: items as in a job's body, as requests for an engine."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lengthwise import encoding
from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import JobItem, KindModel
from lengthwise.kinds.native import NativeKind
from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import Architecture, Request


@dataclass(frozen=True, slots=True)
class Sample:
    """The items of a file, as requests. An item may have several."""

    kind: str
    n_items: int
    #: Their ids count from 0. They are greedy, so that the answers of two models can be compared.
    requests: list[Request]
    #: For each request, the number of its item.
    item_of: list[int]
    #: A classifier's label counts from this probability on.
    threshold: float
    #: A classifier's labels that the kind does not show.
    ignored_labels: frozenset[str]


def read(path: Path, spec: ModelSpec, architecture: Architecture) -> Sample:
    """Reads NDJSON with an item on each line. A first line with ``kind`` is a job's header, with its parameters.

    Raises ``ConfigurationError`` with the number of the first wrong line, but never with its content.
    """
    lines = _lines(path)
    header = lines.pop(0)[1] if lines and isinstance(lines[0][1], dict) and "kind" in lines[0][1] else {}
    kind = _kind(header, spec, architecture, path)
    try:
        params = kind.params_type.model_validate({key: value for key, value in header.items() if key != "kind"})
    except ValidationError as error:
        raise ConfigurationError(f"{path}: line 1 holds no parameters of {kind.name}: {_reason(error)}") from None
    if not lines:
        raise ConfigurationError(f"{path} holds no items")
    items = [_item(kind, spec, params, value, f"{path}: line {number}") for number, value in lines]
    prompts = kind.prompts(KindModel(spec, tokenizer.load(spec)), params, items, 0)
    owners = [place for place, each in enumerate(prompts) for _ in each]
    flat = [prompt for each in prompts for prompt in each]
    for place, prompt in zip(owners, flat, strict=True):
        if not 0 < len(prompt.tokens) <= spec.context:
            raise ConfigurationError(f"{path}: line {lines[place][0]} is empty or longer than the model reads")
    stop = kind.decoding(spec, params, items[0], 0).stop
    requests = [
        Request(number, tokens, limit, stop, decoder_prefix=prefix)
        for number, (tokens, limit, prefix) in enumerate(flat)
    ]
    options = spec.kind_options.get(kind.name)
    ignored = frozenset(options.ignored_labels) if options else frozenset[str]()
    return Sample(kind.name, len(items), requests, owners, kind.label_threshold(spec, params), ignored)


def _lines(path: Path) -> list[tuple[int, Any]]:
    """The lines that are not empty: their numbers and their JSON values."""
    found = []
    try:
        data = path.read_bytes()
        for number, line in enumerate(data.decode("utf-8-sig").split("\n"), 1):
            if line.strip():
                found.append((number, json.loads(line)))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is {encoding.name_of(data)}: write it in UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__})") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{path}: line {number} is not JSON") from None
    return found


def _kind(header: dict[str, Any], spec: ModelSpec, architecture: Architecture, path: Path) -> NativeKind:
    possible = spec.kinds or fitting_kinds(architecture)
    name = header.get("kind", possible[0])
    if name not in possible:
        raise ConfigurationError(f"{path}: line 1 names a kind that the model does not serve: {', '.join(possible)}")
    return KINDS[name]


def fitting_kinds(architecture: Architecture) -> list[str]:
    """The kinds that a model of this architecture could serve, its usual kind first."""
    possible = {name: kind for name, kind in KINDS.usable().items() if architecture in kind.options_type.needed()}
    return sorted(possible, key=lambda name: possible[name].usual_architecture != architecture.value)


def _item(kind: NativeKind, spec: ModelSpec, params: Any, value: Any, where: str) -> JobItem:
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
    """The requests of each group of request numbers."""
    return [[sample.requests[number] for number in group] for group in groups]
