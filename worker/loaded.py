"""The models that this process has loaded: an engine is loaded once, and the one used longest ago makes room."""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache

from lengthwise import settings, tokenizer
from lengthwise.catalog import Catalog, ModelSpec
from lengthwise.errors import ConfigurationError
from lengthwise.kinds.kind import Model
from worker.engine import registry
from worker.engine.protocol import Capabilities, Engine

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    spec: ModelSpec
    model: Model
    engine: Engine
    capabilities: Capabilities


_engines: OrderedDict[str, Loaded] = OrderedDict()


@cache
def _catalog() -> Catalog:
    return Catalog.read(settings.get().models)


def spec(name: str) -> ModelSpec | None:
    return _catalog().models.get(name)


def model(name: str) -> Loaded:
    """The model ready to run. Raises ``ConfigurationError`` or ``EngineError`` if it cannot be."""
    if name in _engines:
        _engines.move_to_end(name)
        return _engines[name]
    found = spec(name)
    if found is None:
        raise ConfigurationError(f"models.toml does not name the model {name}")
    while len(_engines) >= settings.get().loaded_models:
        _engines.popitem(last=False)
    engine = registry.load(found)
    capabilities = engine.capabilities()
    log.info(
        "loaded %s: %s, %s, %s",
        name,
        capabilities.architecture,
        capabilities.quantization,
        capabilities.device,
    )
    _engines[name] = Loaded(found, Model(found, tokenizer.of(found)), engine, capabilities)
    return _engines[name]
