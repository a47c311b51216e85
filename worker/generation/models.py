"""The models that this process has loaded: an engine is loaded once, and the one used longest ago makes room."""

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from lengthwise import settings
from lengthwise.errors import ConfigurationError
from lengthwise.kinds.kind import Model
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.catalog_file import CatalogFile
from worker.engine import registry
from worker.engine.protocol import Capabilities, Engine, EngineError, OpenEngine
from worker.generation.answer_cache import AnswerCache
from worker.generation.gc_tuning import collect_seldom
from worker.generation.plan import planner

log = logging.getLogger(__name__)

#: The first and the longest pause of a model whose engine stands on something that is away, in seconds.
_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 60.0

#: Batches that keep the engine for less than this are not worth a thread's while.
_QUICK_SECONDS = 0.005

#: A model that could not be loaded is not tried again for this long: its shards are put off without reading gigabytes.
_FAILURE_SECONDS = 10.0


class NotLoaded(Exception):
    """The model cannot be run here now; the log says why."""


@dataclass(slots=True)
class LoadedModel:
    spec: ModelSpec
    model: Model
    engine: Engine
    capabilities: Capabilities
    #: What this engine answered goes with it: another revision answers otherwise.
    memo: AnswerCache = field(default_factory=AnswerCache)
    #: Tokens that a batch may have, padding included: the model's own limit, or less where the device had no memory.
    batch_tokens: int = field(init=False)
    #: How long a batch takes, and of that the engine, as moving averages of those it ran; unknown at first.
    batch_seconds: float | None = None
    engine_seconds: float | None = None
    #: How often in a row its engine was unavailable, and until when it is left alone.
    _n_pauses: int = field(default=0, init=False)
    _paused_until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.batch_tokens = self._most_tokens

    @property
    def _most_tokens(self) -> int:
        fitting = self.capabilities.batch_tokens
        return self.spec.batch_tokens if fitting is None else min(self.spec.batch_tokens, fitting)

    @property
    def is_slow(self) -> bool:
        """Whether its batches are long enough for what is done beside them in threads; False while nothing is known."""
        return self.engine_seconds is not None and self.engine_seconds >= _QUICK_SECONDS

    @property
    def open_engine(self) -> OpenEngine | None:
        """The engine, if requests may join its batches while they run."""
        return self.engine if self.capabilities.is_open and isinstance(self.engine, OpenEngine) else None

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

    def plan(self, lengths: Sequence[int], beams: int = 1) -> list[list[int]]:
        """Which of these requests, each of ``beams`` rows, run together; indexes into ``lengths``."""
        cut = planner(self.capabilities)
        return cut(lengths, max(1, self.batch_tokens // beams), max(1, self.spec.batch_rows // beams))

    def computed(self, lengths: Sequence[int]) -> list[int]:
        """The input tokens, padding included, that each request of one batch costs."""
        return list(lengths) if self.capabilities.is_packed else [max(lengths)] * len(lengths)

    def shrink(self, n_tokens: int) -> None:
        """A batch of this many tokens did not fit: half of it may."""
        self.batch_tokens = min(self.batch_tokens, max(1, n_tokens // 2))

    def grow(self) -> None:
        """What did not fit may fit again: other users of the device come and go."""
        self.batch_tokens = min(self._most_tokens, self.batch_tokens + self.batch_tokens // 16 + 1)


def averaged(known: float | None, seconds: float) -> float:
    """The moving average after another value."""
    return seconds if known is None else known + (seconds - known) / 8


_engines: OrderedDict[str, LoadedModel] = OrderedDict()
_failed_until: dict[str, float] = {}
#: As they were last loaded: what is fallen back to where models.toml names something by now that cannot be.
_proven: dict[str, ModelSpec] = {}


@cache
def _file() -> CatalogFile:
    current = settings.get()
    return CatalogFile(current.models, current.models_seconds)


def catalog() -> Catalog:
    """What is in force of ``models.toml``; of a loaded model it may name a newer revision (``renewal``)."""
    return _file().catalog()


def spec(name: str) -> ModelSpec | None:
    """The model as it is loaded, else as the catalog names it."""
    held = _engines.get(name)
    return held.spec if held else catalog().models.get(name)


def is_loaded(name: str) -> bool:
    return name in _engines


def batches_in(name: str, seconds: float) -> int:
    """How many of the model's batches fit in this time, at least one; one, too, while nothing is known of it.

    And one of an engine that is slow: the next is made ready beside it, and what is made ready keeps others waiting.
    """
    model = _engines.get(name)
    if model is None or model.batch_seconds is None or model.is_slow:
        return 1
    return max(1, int(seconds / max(model.batch_seconds, 1e-6)))


def names() -> list[str]:
    """Every model of the catalog, in its order."""
    return list(catalog().models)


def held() -> dict[str, ModelSpec]:
    """The models that are loaded, each as it was when it was loaded."""
    return {name: each.spec for name, each in _engines.items()}


def model(name: str) -> LoadedModel:
    """The model ready to run. Raises ``NotLoaded``."""
    if name in _engines:
        _engines.move_to_end(name)
        return _engines[name]
    if time.monotonic() < _failed_until.get(name, 0):
        raise NotLoaded
    named = catalog().models.get(name)
    if named is None:
        log.error("model %s not loaded: models.toml does not name it", name)
    elif load(named) or (name in _proven and _proven[name] is not named and load(_proven[name])):
        return _engines[name]
    _failed_until[name] = time.monotonic() + _FAILURE_SECONDS
    raise NotLoaded


def load(wanted: ModelSpec) -> bool:
    """Loads the model, in place of what is loaded under its name; that stays if it fails, of which the log says why.

    Only while no engine computes: transformers changes torch's default type for the whole process while it loads.
    """
    _make_room(wanted.name)
    try:
        _engines[wanted.name] = _loaded(wanted)
    except (ConfigurationError, EngineError) as error:
        log.error("model %s not loaded: %s", wanted.name, error)
    except Exception:  # a backend's own: whatever it is, only this model's jobs suffer; no text is at hand here
        log.exception("model %s not loaded", wanted.name)
    else:
        _proven[wanted.name] = wanted
        return True
    return False


def _make_room(name: str) -> None:
    """For one more than there are; what is loaded under this name itself is kept, and counts."""
    while len(_engines) >= settings.get().loaded_models:
        longest_ago = next((each for each in _engines if each != name), None)
        if longest_ago is None:
            return
        drop(longest_ago)


def drop(name: str) -> None:
    """Frees the model's memory, as far as nothing of it is in hand."""
    del _engines[name]
    collect_seldom()


def _loaded(wanted: ModelSpec) -> LoadedModel:
    current = settings.get()
    current.limit_threads()
    made_by = wanted.made_by  # of the files before they are read, not of what they may be turned into meanwhile
    placed = wanted.model_copy(update={"device": current.device}) if wanted.device == "auto" else wanted
    engine = registry.load(placed)
    capabilities = engine.capabilities()
    log.info(
        "loaded %s, revision %s: %s, %s, %s",
        wanted.name,
        made_by,
        capabilities.architecture,
        capabilities.quantization,
        capabilities.device,
    )
    return LoadedModel(wanted, Model(wanted, tokenizer.of(wanted)), engine, capabilities)


def forget() -> None:
    """Drops every engine, failure and the catalog: the next use reads the settings again."""
    _engines.clear()
    _failed_until.clear()
    _proven.clear()
    _file.cache_clear()
