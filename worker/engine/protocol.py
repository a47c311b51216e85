"""What an engine is: it takes requests of token ids and gives completions in the order in which they finish.

Knows nothing of jobs, tenants or items. Backends register under the entry-point group ``lengthwise.engines``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol, Self, runtime_checkable

from lengthwise.errors import Unavailable
from lengthwise.models.catalog import ModelSpec


class Architecture(StrEnum):
    #: A source is read once, a target is generated (Marian, NLLB, T5, BART).
    ENCODER_DECODER = "encoder-decoder"
    #: A prompt is continued (Llama, Qwen, Mistral).
    DECODER_ONLY = "decoder-only"
    #: One forward pass gives a score for each label.
    CLASSIFIER = "classifier"
    #: One forward pass gives a vector.
    EMBEDDER = "embedder"


class FinishReason(StrEnum):
    #: The model wrote its end token, or a stop string was met.
    STOP = "stop"
    #: ``max_new_tokens`` were generated.
    LENGTH = "length"
    #: A classifier scored its labels.
    LABEL = "label"
    #: An embedder gave its vector.
    VECTOR = "vector"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. A temperature of 0 is greedy; ``top_k`` 0 and ``top_p`` 1 mean no cut."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


GREEDY = Sampling()


class Request(NamedTuple):
    """One sequence to run. ``tokens`` holds every input id, special tokens included."""

    id: int
    tokens: Sequence[int]
    max_new_tokens: int = 0
    stop: tuple[str, ...] = ()
    sampling: Sampling = GREEDY
    #: Ids the answer must begin with (a target language's token, say); they are not part of the completion.
    decoder_prefix: tuple[int, ...] = ()
    #: Whether the answer's probability is asked for: at each step it costs a look at the whole vocabulary.
    is_scored: bool = False
    #: Hypotheses that a beam search goes on with; 1 is none. Beside stop strings and a temperature there are no others.
    beams: int = 1


class Completion(NamedTuple):
    """What came of one request. ``tokens`` exclude the prompt, the end token and ``decoder_prefix``."""

    id: int
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    #: A classifier's probability of each label, in the order of ``Capabilities.labels``; else empty.
    scores: tuple[float, ...] = ()
    #: An embedder's vector; else empty.
    vector: tuple[float, ...] = ()
    #: Where it was asked for: the sum of the natural logarithms of the probabilities that the model gave each token
    #: written, the end token included, before temperature and cuts; with beams, as their search counts them.
    log_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    architecture: Architecture
    #: The longest input and, for a decoder-only model, input plus output, in tokens.
    context: int
    device: str
    quantization: str
    labels: tuple[str, ...] = ()
    #: Whether inputs of any lengths run together at no cost: nothing is padded.
    is_packed: bool = False
    #: Whether requests may join a batch while others of it still write: the engine is an ``OpenEngine``.
    is_continuous: bool = False
    #: Input tokens of a batch, padding included, that the device has memory for; None where that is not known.
    batch_tokens: int | None = None


class EngineError(Exception):
    """The engine could not run this batch; its message never holds text or token ids."""


class OutOfMemoryError(EngineError):
    """The batch does not fit the device: a smaller one may."""


class EngineUnavailable(Unavailable):
    """What the engine stands on is away, through no fault of the batch: the same may succeed in ``retry_after`` s."""


#: Gives the requests that are to join a batch now, if any.
Source = Callable[[], Sequence[Request]]


class Engine(Protocol):
    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Loads the model once.

        Raises ``ConfigurationError`` if its files are not what their manifest says or must not be read, and
        ``EngineError`` if its weights are not those of its configuration.
        """
        ...

    def capabilities(self) -> Capabilities: ...

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Runs the requests as one batch. A request's answer does not depend on its neighbours.

        Raises ``OutOfMemoryError`` or ``EngineError``, after which the caller looks for the request that is to blame,
        or ``EngineUnavailable``, after which it comes back later; completions yielded before that are valid.
        """
        ...


@runtime_checkable
class OpenEngine(Engine, Protocol):
    """One whose ``Capabilities.is_continuous``: a batch that never runs out of rows."""

    def generate_from(self, source: Source) -> Iterator[Completion]:
        """Runs what ``source`` gives, which is asked at the beginning and between any two steps; ends once that gives
        nothing and everything is answered. Answers and errors are those of ``generate``, and so is what becomes of the
        requests that were given before an error.
        """
        ...
