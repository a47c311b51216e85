"""Models too large for one device: each layer is split over several, by transformers' tensor parallelism."""

import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Self

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.device import split_shared
from worker.engine.protocol import (
    Architecture,
    Capabilities,
    Completion,
    Engine,
    EngineError,
    EngineUnavailable,
    OutOfMemoryError,
    Request,
    Source,
)
from worker.engine.transformer.parallel.ranks import Drop, Join, Load, Open, Ranks, Run, of
from worker.engine.transformer.torch_engine import TorchEngine
from worker.engine.transformer.weights import families, loading

log = logging.getLogger(__name__)


class Torch:
    """The engine ``torch``, on one device or on several together."""

    @staticmethod
    def load(spec: ModelSpec) -> Engine:
        """Loads the model once. Raises what ``TorchEngine.load`` does."""
        devices = split_shared(spec.device)
        if len(devices) == 1:
            return TorchEngine.load(spec)
        kind = loading.architecture(spec)
        if kind is not Architecture.DECODER_ONLY or not families.fits(spec.config, kind):
            log.info("model %s: its architecture is not split, it runs on %s alone", spec.name, devices[0])
            return TorchEngine.load(spec.model_copy(update={"device": devices[0]}))
        return ShardedEngine.load(spec)


class ShardedEngine:
    """One loaded model, a part of it on each device: a process of its own for every device but the first.

    Answers are those of the whole model but for the last bits, for sums are made in parts.
    """

    def __init__(self, spec: ModelSpec, devices: Sequence[str]) -> None:
        _refuse_indivisible(spec, len(devices))
        self._spec, self._devices = spec, devices
        if spec.quantization == "int8":
            whole = "bf16" if devices[0].startswith("cuda") else "none"
            log.info("model %s: int8 is for models on one CPU, its parts run in %s", spec.name, whole)
            self._spec = spec.model_copy(update={"quantization": whole})
        self._load()

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Loads the model once. Raises ``ConfigurationError`` where it cannot be split over its ``device``, and what
        ``TorchEngine.load`` does.
        """
        return cls(spec, split_shared(spec.device))

    def _load(self) -> None:
        self._ranks = of(self._devices)
        self._number = self._ranks.new_number()
        self._ranks.tell(Load(self._number, self._spec))
        try:
            first = self._spec.model_copy(update={"device": self._devices[0]})
            self._engine = TorchEngine.load(first, self._ranks.mesh)
        finally:
            answers = self._ranks.answers(patience=None)
        if answers is None or any(isinstance(answer, str) for answer in answers):
            self._ranks.close()
            raise EngineError(f"model {self._spec.name}: not every part of it could be loaded: {answers}")
        known = [answer for answer in (self._engine.capabilities().batch_tokens, *answers) if answer is not None]
        self._capabilities = replace(
            self._engine.capabilities(),
            device="+".join(self._devices),
            batch_tokens=min(known, default=None),
        )
        weakref.finalize(self, _drop, self._ranks, self._number).atexit = False

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """As the engine of one device does. Raises ``EngineUnavailable`` where a part of the model is no more: it is
        loaded anew when it is asked for the next time.
        """
        with self._in_step():
            self._ranks.tell(Run(self._number, list(requests)))
            yield from _to_its_end(self._engine.generate(requests))

    def generate_from(self, source: Source) -> Iterator[Completion]:
        """Likewise."""
        is_heard = True

        def told() -> Sequence[Request]:
            joining = list(source()) if is_heard else []
            self._ranks.tell(Join(joining))
            return joining

        def go_on_alone() -> None:
            nonlocal is_heard
            is_heard = False

        with self._in_step():
            self._ranks.tell(Open(self._number))
            yield from _to_its_end(self._engine.generate_from(told), go_on_alone)

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """All processes run a batch to its end, and end it alike; or they start anew at the next one."""
        if not self._ranks.is_open:
            self._reload()
        try:
            yield
        except OutOfMemoryError:
            # Or all start anew; the caller must know why all the same.
            self._are_in_step(OutOfMemoryError.__name__)
            raise
        except (EngineError, OSError) as error:
            if self._are_in_step(type(error).__name__):
                raise
            raise _parted() from None
        except BaseException:
            self._are_in_step(None)  # whoever gave up, it was run to its end
            raise
        else:
            if not self._are_in_step(None):
                raise _parted()

    def _are_in_step(self, ended: str | None) -> bool:
        answers = self._ranks.answers()
        if answers is not None and all(answer == ended for answer in answers):
            return True
        log.error("the parts of model %s are out of step: they start anew", self._spec.name)
        self._ranks.close()
        return False

    def _reload(self) -> None:
        try:
            self._load()
        except (ConfigurationError, EngineError, OSError) as error:
            raise EngineUnavailable(f"the parts of the model are not there: {error}", 10) from None


def _to_its_end(completions: Iterator[Completion], on_end: Callable[[], None] = lambda: None) -> Iterator[Completion]:
    """Goes on by itself once nobody listens, for the other processes do."""
    try:
        for completion in completions:  # noqa: UP028 — or whoever ends this would end that
            yield completion
    finally:
        on_end()
        for _ in completions:
            pass


def _parted() -> EngineUnavailable:
    return EngineUnavailable("a process that holds a part of the model ended or fell behind", 1)


def _drop(ranks: Ranks, number: int) -> None:
    with suppress(OSError):  # they are no more
        if ranks.is_open:
            ranks.tell(Drop(number))


def _refuse_indivisible(spec: ModelSpec, n_devices: int) -> None:
    for name in ("num_attention_heads", "num_key_value_heads"):
        if spec.config.get(name, n_devices) % n_devices:
            raise ConfigurationError(f"model {spec.name}: its {name} cannot be shared by {n_devices} devices evenly")
