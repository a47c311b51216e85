"""The models that this process has loaded: an engine is loaded once, and the one used longest ago makes room."""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from lengthwise import settings, tokenizer
from lengthwise.catalog import Catalog, ModelSpec
from lengthwise.errors import ConfigurationError
from lengthwise.kinds.kind import Model
from worker.engine import registry
from worker.engine.protocol import Capabilities, Engine, EngineError
from worker.plan import pack, plan

log = logging.getLogger(__name__)

#: The first and the longest pause of a model whose engine stands on something that is away, in seconds.
_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 60.0

#: A model that could not be loaded is not tried again for this long: its shards are put off without reading gigabytes.
_FAILURE_SECONDS = 10.0


class NotLoaded(Exception):
    """The model cannot be run here now; the log says why."""


@dataclass(slots=True)
class Loaded:
    spec: ModelSpec
    model: Model
    engine: Engine
    capabilities: Capabilities
    #: Tokens that a batch may have, padding included: the model's own limit, or less where the device had no memory.
    batch_tokens: int = field(init=False)
    #: How long a batch takes, and of that the engine, as moving averages of those it ran; unknown at first.
    batch_seconds: float | None = None
    engine_seconds: float | None = None
    #: How often in a row its engine was unavailable, and until when it is left alone.
    _n_pauses: int = field(default=0, init=False)
    _paused_until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.batch_tokens = self.spec.batch_tokens

    def took(self, batch_seconds: float, engine_seconds: float) -> None:
        """Another batch took this long, its answers' way into results included."""
        self.batch_seconds = averaged(self.batch_seconds, batch_seconds)
        self.engine_seconds = averaged(self.engine_seconds, engine_seconds)
        self._n_pauses = 0

    def pause(self, seconds: float) -> None:
        """Its engine is unavailable: it is left alone for ``seconds`` at least, each time in a row for longer."""
        longer = min(_PAUSE_SECONDS * 2**self._n_pauses, _MAX_PAUSE_SECONDS)
        self._n_pauses = min(self._n_pauses + 1, 16)
        self._paused_until = time.monotonic() + max(seconds, longer)

    @property
    def pause_seconds(self) -> float:
        """For how long it is still to be left alone; 0 while it may run."""
        return max(0.0, self._paused_until - time.monotonic())

    def plan(self, lengths: Sequence[int]) -> list[list[int]]:
        """Which of these requests run together; indexes into ``lengths``."""
        cut = pack if self.capabilities.is_packed else plan
        return cut(lengths, self.batch_tokens, self.spec.batch_rows)

    def computed(self, lengths: Sequence[int]) -> list[int]:
        """The input tokens, padding included, that each request of one batch costs."""
        return list(lengths) if self.capabilities.is_packed else [max(lengths)] * len(lengths)

    def shrink(self, n_tokens: int) -> None:
        """A batch of this many tokens did not fit: half of it may."""
        self.batch_tokens = min(self.batch_tokens, max(1, n_tokens // 2))

    def grow(self) -> None:
        """What did not fit may fit again: other users of the device come and go."""
        self.batch_tokens = min(self.spec.batch_tokens, self.batch_tokens + self.batch_tokens // 16 + 1)


def averaged(known: float | None, seconds: float) -> float:
    """The moving average after another value."""
    return seconds if known is None else known + (seconds - known) / 8


_engines: OrderedDict[str, Loaded] = OrderedDict()
_failed_until: dict[str, float] = {}


@cache
def _catalog() -> Catalog:
    return Catalog.read(settings.get().models)


def spec(name: str) -> ModelSpec | None:
    return _catalog().models.get(name)


def is_loaded(name: str) -> bool:
    return name in _engines


def batches_in(name: str, seconds: float) -> int:
    """How many of the model's batches fit in this time, at least one; one, too, while nothing is known of it."""
    known = _engines[name].batch_seconds if name in _engines else None
    return 1 if known is None else max(1, int(seconds / max(known, 1e-6)))


def names() -> list[str]:
    """Every model of the catalog, in its order."""
    return list(_catalog().models)


def model(name: str) -> Loaded:
    """The model ready to run. Raises ``NotLoaded``."""
    if name in _engines:
        _engines.move_to_end(name)
        return _engines[name]
    if time.monotonic() < _failed_until.get(name, 0):
        raise NotLoaded
    try:
        _engines[name] = _load(name)
    except (ConfigurationError, EngineError) as error:
        log.error("model %s not loaded: %s", name, error)
    except Exception:  # a backend's own: whatever it is, only this model's jobs suffer; no text is at hand here
        log.exception("model %s not loaded", name)
    else:
        return _engines[name]
    _failed_until[name] = time.monotonic() + _FAILURE_SECONDS
    raise NotLoaded


def _load(name: str) -> Loaded:
    found = spec(name)
    if found is None:
        raise ConfigurationError("models.toml does not name it")
    while len(_engines) >= settings.get().loaded_models:
        _engines.popitem(last=False)
    if threads := settings.get().threads:  # read by torch when the first engine imports it
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    engine = registry.load(found)
    capabilities = engine.capabilities()
    log.info(
        "loaded %s: %s, %s, %s",
        name,
        capabilities.architecture,
        capabilities.quantization,
        capabilities.device,
    )
    return Loaded(found, Model(found, tokenizer.of(found)), engine, capabilities)


def forget() -> None:
    """Drops every engine, failure and the catalog: the next use reads the settings again."""
    _engines.clear()
    _failed_until.clear()
    _catalog.cache_clear()
