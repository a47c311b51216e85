"""The engine protocol: an engine starts batches, which take requests of token ids and answer them step by step.

Knows nothing of jobs, tenants or items. Backends register under the entry-point group ``lengthwise.engines``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol, Self

from lengthwise.errors import Unavailable
from lengthwise.models.architecture import Architecture as Architecture  # part of this protocol
from lengthwise.models.catalog import ModelSpec


class FinishReason(StrEnum):
    #: The model wrote its end token or a stop string.
    STOP = "stop"
    #: ``max_new_tokens`` were generated.
    LENGTH = "length"
    #: A classifier scored its labels.
    LABEL = "label"
    #: An embedder gave its vector.
    VECTOR = "vector"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. A ``temperature`` of 0 is greedy; ``top_k`` 0 and ``top_p`` 1 cut nothing off.

    ``repetition_penalty`` comes before the model's own; None leaves it to the model. It changes greedy answers too.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    repetition_penalty: float | None = None


GREEDY = Sampling()


class Request(NamedTuple):
    """One sequence to run. ``tokens`` holds every input id, special tokens included."""

    id: int
    tokens: Sequence[int]
    max_new_tokens: int = 0
    stop: tuple[str, ...] = ()
    sampling: Sampling = GREEDY
    #: Ids that the answer must begin with, such as a target language's token. The completion leaves them out.
    decoder_prefix: tuple[int, ...] = ()
    #: Whether to return the answer's log-probability. It costs a softmax over the vocabulary at each step.
    is_scored: bool = False
    #: Width of the beam search; 1 means no beam search. More than 1 excludes stop strings and a temperature.
    beams: int = 1


class Completion(NamedTuple):
    """The answer to one request. ``tokens`` exclude the prompt, the end token and ``decoder_prefix``."""

    id: int
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    #: A classifier's probability of each label, in the order of ``Capabilities.labels``; empty for other models.
    scores: tuple[float, ...] = ()
    #: An embedder's vector; empty for other models.
    vector: tuple[float, ...] = ()
    #: If the request ``is_scored``: the sum of the natural logarithms of the probabilities of all tokens written, the
    #: end token included, before temperature and cuts. With beams it is the score of the beam search.
    log_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    architecture: Architecture
    #: The longest input in tokens; for a decoder-only model the longest input and output together.
    context: int
    device: str
    quantization: str
    labels: tuple[str, ...] = ()
    #: Whether exactly one label holds (a softmax), and not any number of them (sigmoids).
    are_labels_exclusive: bool = False
    #: Whether inputs are not padded, so that inputs of different lengths run together at no extra cost.
    is_packed: bool = False
    #: Whether a batch takes further requests between its steps (continuous batching).
    is_continuous: bool = False
    #: Input tokens, padding included, of the largest batch that fits the device's memory; None if it is unknown.
    batch_tokens: int | None = None
    #: Memory of the model's tensors, in the form in which the engine holds them. None if it is unknown, as that of a
    #: model on several devices.
    memory_bytes: int | None = None


class EngineError(Exception):
    """The engine could not run this batch. The message never holds text or token ids."""


class OutOfMemoryError(EngineError):
    """The batch does not fit the device's memory. A smaller one may."""


class EngineUnavailable(Unavailable):
    """Something that the engine depends on is away. The same batch may succeed in ``retry_after`` seconds."""


class EngineBatch(Protocol):
    """Requests that an engine runs together.

    Whatever ``add`` or ``step`` raises closes the batch; completions that earlier steps returned stay valid. They raise

    - ``OutOfMemoryError``: a smaller batch may fit;
    - ``EngineError``: some request is to blame, and the caller looks for it;
    - ``EngineUnavailable``: no request is to blame, and the caller tries again later.
    """

    @property
    def is_done(self) -> bool:
        """Whether no step is left to take: nothing was added, nothing is left to answer, or the batch is closed."""
        ...

    def add(self, requests: Sequence[Request]) -> None:
        """Takes requests in, whose ids differ from those in the batch. An answer does not depend on its neighbours.

        If ``Capabilities.is_continuous``, requests may be added between any two steps, also once the batch is done.
        Any other engine takes them all at once, before the first step, and raises ``EngineError`` at a second ``add``.
        Adding no requests does nothing. A closed batch raises ``EngineError``.
        """
        ...

    def step(self) -> Sequence[Completion]:
        """Does a bounded piece of work, such as a token for each request; returns the completions that it finished.

        Returns nothing if the batch is done.
        """
        ...

    def close(self) -> None:
        """Frees everything that the batch holds. It may be called at any time, and more than once.

        A batch that is dropped without it is freed as well, though perhaps later.
        """
        ...


class Engine(Protocol):
    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Loads the model once.

        Raises ``ConfigurationError`` if its files differ from their manifest or must not be read, and ``EngineError``
        if its weights do not fit its configuration.
        """
        ...

    def capabilities(self) -> Capabilities: ...

    def start(self) -> EngineBatch:
        """Starts an empty batch. Several may be open at once: another may run between two steps of this one.

        Raises ``EngineUnavailable`` if no batch can run now.
        """
        ...
