"""The engine ``torch``: on one device, or on several if the model is too large for one (tensor parallelism)."""

import logging
import weakref
from collections.abc import Iterator, Sequence
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
    EngineBatch,
    EngineError,
    EngineUnavailable,
    OutOfMemoryError,
    Request,
)
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.parallel.ranks import (
    AddCommand,
    CloseCommand,
    DropCommand,
    LoadCommand,
    RankGroup,
    StartCommand,
    StepCommand,
    rank_group,
)
from worker.engine.transformer.weights import families, loading

log = logging.getLogger(__name__)


class Torch:
    """The entry point of the engine ``torch``: picks the engine for the number of devices."""

    @staticmethod
    def load(spec: ModelSpec) -> Engine:
        """Loads the model once. Raises what ``TorchEngine.load`` raises."""
        devices = split_shared(spec.device)
        if len(devices) == 1:
            return TorchEngine.load(spec)
        kind = loading.architecture(spec)
        if kind is not Architecture.DECODER_ONLY or not families.fits(spec.config, kind):
            log.info("model %s: its architecture cannot be split, so it runs on %s alone", spec.name, devices[0])
            return TorchEngine.load(spec.model_copy(update={"device": devices[0]}))
        return ShardedEngine.load(spec)


class ShardedEngine:
    """A loaded model with a part on each device. Every device but the first has a follower process.

    Answers equal those of the unsplit model except for the last bits, because sums are added in another order.
    """

    def __init__(self, spec: ModelSpec, devices: Sequence[str]) -> None:
        _refuse_indivisible(spec, len(devices))
        self._spec, self._devices = spec, devices
        if spec.quantization == "int8":
            precision = "bf16" if devices[0].startswith("cuda") else "none"
            log.info("model %s: int8 needs a single CPU, so its parts run in %s", spec.name, precision)
            self._spec = spec.model_copy(update={"quantization": precision})
        self._load()

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Loads the model once.

        Raises ``ConfigurationError`` if it cannot be split over its ``device``, and what ``TorchEngine.load`` raises.
        """
        return cls(spec, split_shared(spec.device))

    def _load(self) -> None:
        self._ranks = rank_group(self._devices)
        self._number = self._ranks.new_number()
        self._ranks.send(LoadCommand(self._number, self._spec))
        try:
            first = self._spec.model_copy(update={"device": self._devices[0]})
            self._engine = TorchEngine.load(first, self._ranks.mesh)
        finally:
            answers = self._ranks.answers(timeout=None)
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

    def start(self) -> EngineBatch:
        """Starts a batch in every process.

        Raises ``EngineUnavailable`` if a process has ended and the model cannot be loaded again.
        """
        if not self._ranks.is_alive:
            self._reload()
        return ShardedBatch(self._spec.name, self._engine, self._ranks, self._number)

    def _reload(self) -> None:
        try:
            self._load()
        except (ConfigurationError, EngineError, OSError) as error:
            raise EngineUnavailable(f"the parts of the model could not be loaded again: {error}", 10) from None


class ShardedBatch:
    """A batch that all processes run together: this one sends the followers every call as a command.

    Its methods raise ``EngineUnavailable`` if a follower has ended or is out of step. The next ``start`` then loads the
    model again.
    """

    def __init__(self, name: str, engine: TorchEngine, ranks: RankGroup, model: int) -> None:
        self._name, self._ranks, self._number = name, ranks, ranks.new_number()
        self._batch = engine.start()
        self._is_closed = False
        self._abandon = weakref.finalize(self, ranks.abandoned.append, self._number)
        self._abandon.atexit = False
        with self._in_step():
            ranks.send(StartCommand(model, self._number))

    @property
    def is_done(self) -> bool:
        return self._batch.is_done

    def add(self, requests: Sequence[Request]) -> None:
        """See ``EngineBatch.add``."""
        with self._in_step():
            if not self._is_closed:
                self._ranks.send(AddCommand(self._number, list(requests)))
            self._batch.add(requests)

    def step(self) -> Sequence[Completion]:
        """See ``EngineBatch.step``."""
        if self._batch.is_done:
            return ()
        with self._in_step():
            self._ranks.send(StepCommand(self._number))
            return self._batch.step()

    def close(self) -> None:
        """See ``EngineBatch.close``."""
        self._close(None)

    @contextmanager
    def _in_step(self) -> Iterator[None]:
        """Handles an error: either all processes closed the batch with the same error, or all of them are ended."""
        try:
            yield
        except OutOfMemoryError:
            self._close(OutOfMemoryError.__name__)
            raise  # even if the followers ended: the caller must shrink its batches
        except (EngineError, OSError) as error:
            if self._close(type(error).__name__):
                raise
            raise EngineUnavailable("a process that holds a part of the model ended or fell behind", 1) from None

    def _close(self, reason: str | None) -> bool:
        """Closes the batch everywhere. Returns whether all followers had the same error, by its class name, or none."""
        if self._is_closed:
            return True
        self._is_closed = True
        self._abandon.detach()
        self._batch.close()
        with suppress(OSError):
            self._ranks.send(CloseCommand(self._number))
            answers = self._ranks.answers()
            if answers is not None and all(answer == reason for answer in answers):
                return True
        log.error("the processes of model %s are out of step: they start again", self._name)
        self._ranks.close()
        return False


def _drop(ranks: RankGroup, number: int) -> None:
    with suppress(OSError):  # the processes have ended
        if ranks.is_alive:
            ranks.send(DropCommand(number))


def _refuse_indivisible(spec: ModelSpec, n_devices: int) -> None:
    for name in ("num_attention_heads", "num_key_value_heads"):
        if spec.config.get(name, n_devices) % n_devices:
            raise ConfigurationError(f"model {spec.name}: its {name} cannot be shared by {n_devices} devices evenly")
