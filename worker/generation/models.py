"""The models that this process has loaded. Each is loaded once; the least recently used one is evicted first."""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from lengthwise import logs, settings
from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.kinds.kind import KindModel
from lengthwise.metrics import meters
from lengthwise.models import tokenizer, usable
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.catalog_file import CatalogFile
from lengthwise.states import NOT_NAMED
from worker import readiness
from worker.engine import registry
from worker.engine.protocol import Capabilities, Engine, EngineError
from worker.generation.answer_cache import AnswerCache
from worker.generation.distance import averaged
from worker.generation.plan import planner
from worker.generation.process_tuning import reduce_garbage_collection
from worker.generation.watchdog import Watchdog
from worker.presence import Presence

log = logging.getLogger(__name__)

#: The first and the longest pause of a model whose engine is unavailable.
_PAUSE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 60.0

#: If the engine's part of a batch is shorter than this, switching to other threads meanwhile costs more than it saves.
_QUICK_SECONDS = 0.005

#: The pause before a model that could not be loaded is tried again. Each attempt may read gigabytes, so the pause
#: is also so many times as long as the attempt was: the worker's other models must go on.
_FAILURE_SECONDS = 10.0
_FAILURE_FACTOR = 4


class NotLoaded(Exception):
    """The model cannot be loaded now; the log says why."""


@dataclass(slots=True)
class LoadedModel:
    spec: ModelSpec
    model: KindModel
    engine: Engine
    capabilities: Capabilities
    #: How long it took to load.
    load_seconds: float = 0.0
    #: Answers of this engine. They are dropped with the engine, because another revision may answer differently.
    answers: AnswerCache = field(default_factory=AnswerCache)
    #: Limit of tokens in a batch, padding included: the model's own, or less after it ran out of memory.
    batch_tokens: int = field(init=False)
    #: Moving averages of a batch's seconds, and of the engine's part in them; None before the first batch.
    batch_seconds: float | None = None
    engine_seconds: float | None = None
    #: How many times in a row the engine was unavailable, and the end of its pause by the monotonic clock.
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

    def record_batch(self, batch_seconds: float, engine_seconds: float) -> None:
        """Records the seconds of a batch, from its first request to its last result, and the engine's part in them."""
        self.batch_seconds = averaged(self.batch_seconds, batch_seconds)
        self.engine_seconds = averaged(self.engine_seconds, engine_seconds)
        self._n_pauses = 0

    def pause(self, seconds: float) -> None:
        """Pauses the model for at least ``seconds``, because its engine is unavailable. Pauses in a row get longer."""
        longer = min(_PAUSE_SECONDS * 2**self._n_pauses, _MAX_PAUSE_SECONDS)
        self._n_pauses = min(self._n_pauses + 1, 16)
        self.paused_until = time.monotonic() + max(seconds, longer)

    @property
    def pause_seconds(self) -> float:
        """Seconds until the pause ends; 0 if the model may run."""
        return max(0.0, self.paused_until - time.monotonic())

    def plan(self, lengths: Sequence[int], beams: int = 1) -> list[list[int]]:
        """Plans batches of requests of ``beams`` rows each. Returns the batches as indexes into ``lengths``."""
        cut = planner(self.capabilities)
        return cut(lengths, max(1, self.batch_tokens // beams), max(1, self.spec.batch_rows // beams))

    def computed(self, lengths: Sequence[int]) -> list[int]:
        """The input tokens, padding included, that the engine computes for each request of one batch."""
        return list(lengths) if self.capabilities.is_packed else [max(lengths)] * len(lengths)

    def shrink(self, n_tokens: int) -> None:
        """Limits later batches to half of ``n_tokens``, because a batch of that many ran out of memory."""
        self.batch_tokens = min(self.batch_tokens, max(1, n_tokens // 2))

    def allow(self, n_tokens: int) -> None:
        """Raises the limit of ``shrink`` to ``n_tokens``, because a batch of that many has just succeeded."""
        self.batch_tokens = min(self._max_tokens, max(self.batch_tokens, n_tokens))

    def grow(self) -> None:
        """Raises the limit of ``shrink`` a little, because others may have freed memory of the device."""
        self.batch_tokens = min(self._max_tokens, self.batch_tokens + self.batch_tokens // 16 + 1)


class LoadedModels:
    """The loaded models of this process. It reads settings and loads models at the first use, not before."""

    def __init__(self, watchdog: Watchdog, presence: Presence) -> None:
        self._watchdog, self._presence = watchdog, presence
        self._engines: OrderedDict[str, LoadedModel] = OrderedDict()
        self._failed_until: dict[str, float] = {}
        #: Each model's spec when it was last loaded: the fallback if the spec in models.toml cannot be loaded.
        self._proven: dict[str, ModelSpec] = {}

    @cached_property
    def _file(self) -> CatalogFile:
        current = settings.get()
        return CatalogFile(current.models, current.models_seconds)

    def catalog(self) -> Catalog:
        """The last valid content of ``models.toml``. It may name a newer revision of a loaded model."""
        return self._file.catalog()

    def spec(self, name: str) -> ModelSpec | None:
        """The spec with which the model was loaded, or else the catalog's; None if there is neither."""
        held = self._engines.get(name)
        return held.spec if held else self.catalog().models.get(name)

    def is_loaded(self, name: str) -> bool:
        return name in self._engines

    def is_failing(self, name: str) -> bool:
        """Whether the model could not be loaded, and is not to be tried again yet."""
        return time.monotonic() < self._failed_until.get(name, 0.0)

    def batches_in(self, name: str, seconds: float) -> int:
        """How many batches the model can run in this time: at least one, and one if that is not known yet.

        Also one if the engine is slow: it computes while the next claim is prepared, and large claims delay other work.
        """
        model = self._engines.get(name)
        if model is None or model.batch_seconds is None or model.is_slow:
            return 1
        return max(1, int(seconds / max(model.batch_seconds, 1e-6)))

    def batches_during(self, name: str, seconds: float) -> int:
        """The fewest batches of the model that together take this time; 1 if that is not known yet."""
        model = self._engines.get(name)
        if model is None or not model.batch_seconds:
            return 1
        return max(1, math.ceil(seconds / model.batch_seconds))

    def batch_tokens(self, name: str) -> int | None:
        """The tokens that fit into a batch of this model now; None if it is not loaded."""
        model = self._engines.get(name)
        return None if model is None else model.batch_tokens

    def names(self) -> list[str]:
        """All models of the catalog, in its order."""
        return list(self.catalog().models)

    def held(self) -> dict[str, ModelSpec]:
        """The specs with which the models in memory were loaded."""
        return {name: each.spec for name, each in self._engines.items()}

    def get(self, name: str) -> LoadedModel:
        """Returns the model ready to run, and loads it if needed. Raises ``NotLoaded``."""
        if name in self._engines:
            self._engines.move_to_end(name)
            return self._engines[name]
        if self.is_failing(name):
            raise NotLoaded
        began_at = time.monotonic()
        named, proven = self.catalog().models.get(name), self._proven.get(name)
        if named is None:
            self._note_failure(name, ConfigurationError(NOT_NAMED))
        elif self.load(named) or (proven is not None and proven is not named and self.load(proven)):
            return self._engines[name]
        now = time.monotonic()
        self._failed_until[name] = now + max(_FAILURE_SECONDS, _FAILURE_FACTOR * (now - began_at))
        raise NotLoaded

    def load(self, wanted: ModelSpec) -> bool:
        """Loads the model, and replaces the loaded one of this name. Returns whether it succeeded.

        If it fails, the old one stays and the log says why. No engine may compute meanwhile: transformers changes
        torch's default type for the whole process.
        """
        self._make_room(wanted.name)
        try:
            with self._watchdog.patient():
                loaded = self._engines[wanted.name] = _load_engine(wanted)
        except (ConfigurationError, EngineError) as error:
            self._note_failure(wanted.name, error)
        except Exception as error:  # a backend's own error must not stop other models
            shown = logs.raised(error, with_messages=True)  # no text of a customer is at hand yet
            log.error("model %s not loaded: unexpected %s", wanted.name, type(error).__name__, extra=shown)
            self._show_failure(wanted.name, error)
        else:
            self._proven[wanted.name] = wanted
            self._failed_until.pop(wanted.name, None)
            if self.catalog().models.get(wanted.name) == wanted:  # otherwise it takes the place of one that failed
                meters.get().hide_failure(wanted.name)
            self._presence.loaded(
                wanted.name,
                revision=wanted.made_by,
                quantization=loaded.capabilities.quantization,
                device=loaded.capabilities.device,
                memory_bytes=loaded.capabilities.memory_bytes,
                load_seconds=loaded.load_seconds,
            )
            meters.get().count_load(wanted.name, is_loaded=True)
            return True
        meters.get().count_load(wanted.name, is_loaded=False)
        return False

    def _note_failure(self, name: str, error: ConfigurationError | EngineError) -> None:
        # The message of the first names the model as well.
        said = f"{error.reason}. To mend it: {error.remedy}" if isinstance(error, ModelUnusable) else str(error)
        log.error("model %s not loaded: %s", name, said, extra=logs.raised(error))
        self._show_failure(name, error)

    def _show_failure(self, name: str, error: Exception) -> None:
        self._presence.failed(name, error)
        meters.get().show_failure(name)

    def mended(self, name: str) -> None:
        """The loaded revision of a model is the one that the catalog names: a newer one that failed is forgotten."""
        self._presence.mended(name)
        meters.get().hide_failure(name)

    def forget_failures(self) -> None:
        """Forgets failures of models that the catalog names no more."""
        self._presence.keep(self.names())
        meters.get().keep_failures(self.names())

    def preload(self) -> None:
        """Loads the first models of the catalog, as many as a process may hold.

        If one fails, the log says so, and the first job that needs it tries again. So does a process that begins while
        ``models.toml`` is not valid: there is no earlier version in it, and its work waits.
        """
        try:
            names = self.names()
        except ConfigurationError as error:
            log.error("no model is loaded until models.toml is valid: %s", error)
            self._presence.error(error)
            names = []
        for name in names[: settings.get().loaded_models]:
            with suppress(NotLoaded):
                self.get(name)
        reduce_garbage_collection()
        readiness.models_are_loaded()

    def _make_room(self, name: str) -> None:
        """Drops models until one more may be loaded. Keeps the model of this name, though it counts."""
        while len(self._engines) >= settings.get().loaded_models:
            oldest = next((each for each in self._engines if each != name), None)
            if oldest is None:
                return
            self.drop(oldest)

    def drop(self, name: str) -> None:
        """Frees the model's memory, unless a claim still refers to it."""
        del self._engines[name]
        self._presence.dropped(name)
        meters.get().hide_model(name)
        reduce_garbage_collection()


def _load_engine(wanted: ModelSpec) -> LoadedModel:
    current = settings.get()
    current.limit_threads()
    usable.check(wanted, is_local=True)
    kept = wanted.fixed()  # read before the weights, which may change meanwhile
    placed = kept.model_copy(update={"device": current.device}) if kept.device == "auto" else kept
    began_at = time.perf_counter()
    engine = registry.load(placed)
    seconds = time.perf_counter() - began_at
    capabilities = engine.capabilities()
    memory = capabilities.memory_bytes
    log.info(
        "loaded %s, revision %s: %s, %s, %s, %sin %.1f s",
        kept.name,
        kept.made_by,
        capabilities.architecture,
        capabilities.quantization,
        capabilities.device,
        "" if memory is None else f"{memory / 1e6:.1f} MB, ",
        seconds,
    )
    loaded = LoadedModel(kept, KindModel(kept, tokenizer.load(kept)), engine, capabilities, seconds)
    meters.get().show_model(kept.name, kept.made_by, capabilities.quantization)
    return loaded
