"""Real implementations of our protocols that tests can reason about."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from lengthwise.models.catalog import ModelSpec
from worker.engine.echo import ContinuousEcho, EchoEngine
from worker.engine.plain_batch import Steps
from worker.engine.protocol import (
    Capabilities,
    EngineBatch,
    EngineError,
    EngineUnavailable,
    OutOfMemoryError,
    Request,
)

END = "</s>"


def write_echo_model(folder: Path, **config: float) -> Path:
    """A model folder for the engine ``echo``: a token a character, so that lengths can be counted by eye.

    Of its ``config``, ``seconds_per_batch`` is its pace or, where others join, ``seconds_per_step``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = [chr(code) for code in (*range(0x20, 0x7F), *range(0xE000, 0xE008))] + list("我吃了一个苹果。你好")
    vocabulary = {token: index for index, token in enumerate(["<unk>", END, ">>en<<", ">>de<<", *alphabet])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(?m:.)"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([END, ">>en<<", ">>de<<", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"eos_token_id": 1, "max_position_embeddings": 512} | config))
    return folder


def write_config(folder: Path, architecture: str, **config: object) -> Path:
    """A model folder as the API reads it, whose ``config.json`` names this class of transformers. It has no weights."""
    write_echo_model(folder)
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture]} | config))
    return folder


CATALOG = """
[models.echo]
path = "echo"
engine = "echo"
batch_tokens = 4096
batch_rows = 64
max_new_tokens = 512
[models.echo.translate]
pairs = [["zh", "en"], ["en", "de"]]
source_prefix = ">>{target}<<"
placeholders = "copy"
[models.echo.generate]
"""


def write_catalog(folder: Path, **config: float) -> Path:
    """A ``models.toml`` of one echoing model that serves translate and generate."""
    write_echo_model(folder / "echo", **config)
    path = folder / "models.toml"
    path.write_text(CATALOG)
    return path


def write_identity_model(folder: Path) -> Path:
    """A model folder for the engine ``echo`` that answers each text with itself: a token for each byte of UTF-8."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 512, "reverses": False}))
    return folder


class WatchedEngine(EchoEngine):
    """Echoes; ``before`` is called with each batch and may raise. ``batches`` are those it began."""

    def __init__(self, spec: ModelSpec, before: Callable[[Sequence[Request]], None] = lambda _: None) -> None:
        super().__init__(spec)
        self.batches: list[list[Request]] = []
        self.before = before

    def run(self, requests: Sequence[Request]) -> Steps:
        self.batches.append(list(requests))
        self.before(requests)
        yield from super().run(requests)


class WatchedContinuousEngine(WatchedEngine):
    """Echoes a token a step in continuous batches.

    ``started`` holds, for each batch, the portions of requests that were added to it; ``before`` is called with each
    portion, and ``between`` before each step with the number of rows. Both may raise.
    """

    def __init__(self, spec: ModelSpec, between: Callable[[int], None] = lambda _: None) -> None:
        super().__init__(spec)
        self.started: list[list[list[Request]]] = []
        self.most_rows = 0
        self._between = between

    @property
    def portions(self) -> list[list[Request]]:
        """Of all batches."""
        return [portion for batch in self.started for portion in batch]

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), is_continuous=True, is_packed=True)

    def start(self) -> EngineBatch:
        self.started.append([])
        return WatchedBatch(self, self.started[-1])

    def check(self, requests: Sequence[Request]) -> None:
        self.before(requests)
        super().check(requests)

    def wait(self, n_requests: int) -> None:
        self.most_rows = max(self.most_rows, n_requests)
        self._between(n_requests)


class WatchedBatch(ContinuousEcho):
    def __init__(self, engine: EchoEngine, portions: list[list[Request]]) -> None:
        super().__init__(engine)
        self._portions = portions

    def add(self, requests: Sequence[Request]) -> None:
        self._portions += [list(requests)] if requests else []
        super().add(requests)


class PickyEngine(WatchedEngine):
    """Cannot run a batch with a request of ``length`` tokens in it; answers half of such a batch first."""

    def __init__(self, spec: ModelSpec, length: int) -> None:
        super().__init__(spec)
        self._length = length

    def run(self, requests: Sequence[Request]) -> Steps:
        bad = any(len(request.tokens) == self._length for request in requests)
        good = [request for request in requests if len(request.tokens) != self._length]
        yield from super().run(good[: len(good) // 2] if bad else requests)
        if bad:
            raise EngineError("a request of that length")


class SmallEngine(WatchedEngine):
    """Has memory for batches of at most ``padded`` tokens."""

    def __init__(self, spec: ModelSpec, padded: int) -> None:
        super().__init__(spec)
        self._padded = padded
        self.n_failures = 0

    def run(self, requests: Sequence[Request]) -> Steps:
        if len(requests) * max(len(request.tokens) for request in requests) > self._padded:
            self.n_failures += 1
            raise OutOfMemoryError("too large")
        yield from super().run(requests)


class ForgetfulEngine(WatchedEngine):
    """Leaves the marks of placeholders out of its answers; ``marks`` are their token ids."""

    def __init__(self, spec: ModelSpec, marks: frozenset[int]) -> None:
        super().__init__(spec)
        self._marks = marks

    def run(self, requests: Sequence[Request]) -> Steps:
        for finished in super().run(requests):
            yield [
                each._replace(tokens=tuple(token for token in each.tokens if token not in self._marks))
                for each in finished
            ]


class AwayEngine(WatchedEngine):
    """Stands on a server that goes away in the middle of its first batch, until ``is_away`` is false."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.is_away = True

    def run(self, requests: Sequence[Request]) -> Steps:
        yield from super().run(requests[:1] if self.is_away else requests)
        if self.is_away:
            raise EngineUnavailable("the server is away", retry_after=600)


class MisnumberingEngine(WatchedEngine):
    """Answers with ids that were not asked, or, if ``twice``, with each id twice."""

    def __init__(self, spec: ModelSpec, *, twice: bool) -> None:
        super().__init__(spec)
        self._twice = twice

    def run(self, requests: Sequence[Request]) -> Steps:
        for finished in super().run(requests):
            yield [*finished, *finished] if self._twice else [each._replace(id=-1 - each.id) for each in finished]


class SilentEngine(WatchedEngine):
    """Says nothing about the last request of a batch, unless that stands alone."""

    def run(self, requests: Sequence[Request]) -> Steps:
        yield from super().run(requests[:-1] if len(requests) > 1 else requests)
