"""The models that this process has loaded. Each is loaded once; the least recently used one makes room for others."""

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lengthwise import settings
from lengthwise.errors import ConfigurationError
from lengthwise.kinds.kind import KindModel
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.catalog_file import CatalogFile
from worker.engine import registry
from worker.engine.protocol import Capabilities, Engine, EngineError
from worker.generation.answer_cache import AnswerCache
from worker.generation.gc_tuning import collect_seldom
from worker.generation.plan import planner

log = logging.getLogger(__name__)

#: The first and the longest pause of a model whose engine is unavailable, in seconds.
_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 60.0

#: If batches take the engine less time than this, doing other work in threads meanwhile does not pay.
_QUICK_SECONDS = 0.005

#: A model that could not be loaded is not tried again for this long. Loading may read gigabytes each time.
_FAILURE_SECONDS = 10.0


class NotLoaded(Exception):
    """The model cannot run here now; the log says why."""


@dataclass(slots=True)
class LoadedModel:
    spec: ModelSpec
    model: KindModel
    engine: Engine
    capabilities: Capabilities
    #: Answers of this engine. They are dropped with it, because another revision answers differently.
    answers: AnswerCache = field(default_factory=AnswerCache)
    #: Tokens that a batch may have, padding included: the model's own limit, or less if memory was short.
    batch_tokens: int = field(init=False)
    #: Moving averages of the time that a batch takes, and of the engine's part in it; None before the first batch.
    batch_seconds: float | None = None
    engine_seconds: float | None = None
    #: How often in a row the engine was unavailable, and until when it is paused.
    _n_pauses: int = field(default=0, init=False)
    paused_until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.batch_tokens = self._max_tokens

    @property
    def _max_tokens(self) -> int:
        fitting = self.capabilities.batch_tokens
        return self.spec.batch_tokens if fitting is None else min(self.spec.batch_tokens, fitting)

    @property
    def is_slow(self) -> bool:
        """Whether batches take long enough for threads to do other work meanwhile; False before the first batch."""
        return self.engine_seconds is not None and self.engine_seconds >= _QUICK_SECONDS

    def took(self, batch_seconds: float, engine_seconds: float) -> None:
        """Notes the time that a batch took, from the first request to the last result, and the engine's part in it."""
        self.batch_seconds = averaged(self.batch_seconds, batch_seconds)
        self.engine_seconds = averaged(self.engine_seconds, engine_seconds)
        self._n_pauses = 0

    def pause(self, seconds: float) -> None:
        """Pauses a model whose engine is unavailable for at least ``seconds``, and longer each time in a row."""
        longer = min(_PAUSE_SECONDS * 2**self._n_pauses, _MAX_PAUSE_SECONDS)
        self._n_pauses = min(self._n_pauses + 1, 16)
        self.paused_until = time.monotonic() + max(seconds, longer)

    @property
    def pause_seconds(self) -> float:
        """Seconds until the pause ends; 0 if the model may run."""
        return max(0.0, self.paused_until - time.monotonic())

    def plan(self, lengths: Sequence[int], beams: int = 1) -> list[list[int]]:
        """Which of these requests, each of ``beams`` rows, run together, as indexes into ``lengths``."""
        cut = planner(self.capabilities)
        return cut(lengths, max(1, self.batch_tokens // beams), max(1, self.spec.batch_rows // beams))

    def computed(self, lengths: Sequence[int]) -> list[int]:
        """Input tokens, padding included, that each request of one batch costs."""
        return list(lengths) if self.capabilities.is_packed else [max(lengths)] * len(lengths)

    def shrink(self, n_tokens: int) -> None:
        """A batch of this many tokens did not fit the memory: the next ones have at most half as many."""
        self.batch_tokens = min(self.batch_tokens, max(1, n_tokens // 2))

    def grow(self) -> None:
        """Raises the limit a little after ``shrink``, because others may have freed memory of the device."""
        self.batch_tokens = min(self._max_tokens, self.batch_tokens + self.batch_tokens // 16 + 1)


def averaged(known: float | None, seconds: float) -> float:
    """The moving average after one more value."""
    return seconds if known is None else known + (seconds - known) / 8


class LoadedModels:
    """The engines of this process. Nothing is loaded, nor are the settings read, before the first use."""

    def __init__(self) -> None:
        self._engines: OrderedDict[str, LoadedModel] = OrderedDict()
        self._failed_until: dict[str, float] = {}
        #: Each model as it was last loaded: the fallback if models.toml now names something that cannot be loaded.
        self._proven: dict[str, ModelSpec] = {}

    @cached_property
    def _file(self) -> CatalogFile:
        current = settings.get()
        return CatalogFile(current.models, current.models_seconds)

    def catalog(self) -> Catalog:
        """The valid content of ``models.toml``. It may name a newer revision of a loaded model (``model_reload``)."""
        return self._file.catalog()

    def spec(self, name: str) -> ModelSpec | None:
        """The model as it is loaded, else as the catalog names it."""
        held = self._engines.get(name)
        return held.spec if held else self.catalog().models.get(name)

    def is_loaded(self, name: str) -> bool:
        return name in self._engines

    def batches_in(self, name: str, seconds: float) -> int:
        """How many of the model's batches fit in this time: at least one, and one if their duration is unknown.

        Also one if the engine is slow: the next claim is prepared meanwhile, and large claims keep others waiting.
        """
        model = self._engines.get(name)
        if model is None or model.batch_seconds is None or model.is_slow:
            return 1
        return max(1, int(seconds / max(model.batch_seconds, 1e-6)))

    def names(self) -> list[str]:
        """All models of the catalog, in its order."""
        return list(self.catalog().models)

    def held(self) -> dict[str, ModelSpec]:
        """The specs of all loaded models, as they were when they were loaded."""
        return {name: each.spec for name, each in self._engines.items()}

    def get(self, name: str) -> LoadedModel:
        """Returns the model ready to run, and loads it if needed. Raises ``NotLoaded``."""
        if name in self._engines:
            self._engines.move_to_end(name)
            return self._engines[name]
        if time.monotonic() < self._failed_until.get(name, 0):
            raise NotLoaded
        named, proven = self.catalog().models.get(name), self._proven.get(name)
        if named is None:
            log.error("model %s not loaded: models.toml does not name it", name)
        elif self.load(named) or (proven is not None and proven is not named and self.load(proven)):
            return self._engines[name]
        self._failed_until[name] = time.monotonic() + _FAILURE_SECONDS
        raise NotLoaded

    def load(self, wanted: ModelSpec) -> bool:
        """Loads the model and replaces the one loaded under its name. If it fails, the old one stays, and the log says
        why.

        No engine may compute meanwhile: transformers changes torch's default type for the whole process.
        """
        self._make_room(wanted.name)
        try:
            self._engines[wanted.name] = _loaded(wanted)
        except (ConfigurationError, EngineError) as error:
            log.error("model %s not loaded: %s", wanted.name, error)
        except Exception:  # a backend's own error: only this model's jobs suffer. No customer's text is in it.
            log.exception("model %s not loaded", wanted.name)
        else:
            self._proven[wanted.name] = wanted
            return True
        return False

    def _make_room(self, name: str) -> None:
        """Drops models until one more may be loaded. A model under this name is kept, and counts."""
        while len(self._engines) >= settings.get().loaded_models:
            oldest = next((each for each in self._engines if each != name), None)
            if oldest is None:
                return
            self.drop(oldest)

    def drop(self, name: str) -> None:
        """Frees the model's memory, unless a claim still refers to it."""
        del self._engines[name]
        collect_seldom()


def _loaded(wanted: ModelSpec) -> LoadedModel:
    current = settings.get()
    current.limit_threads()
    made_by = wanted.made_by  # before the files are read: they may change meanwhile
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
    return LoadedModel(wanted, KindModel(wanted, tokenizer.load(wanted)), engine, capabilities)
