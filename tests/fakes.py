"""Real implementations of our protocols that tests can reason about."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from lengthwise.models.catalog import ModelSpec
from worker.engine.echo import EchoEngine
from worker.engine.protocol import (
    Capabilities,
    Completion,
    EngineError,
    EngineUnavailable,
    OutOfMemoryError,
    Request,
    Source,
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


class WatchedEngine(EchoEngine):
    """Echoes; ``before`` is called with each batch and may raise. ``batches`` are those it began."""

    def __init__(self, spec: ModelSpec, before: Callable[[Sequence[Request]], None] = lambda _: None) -> None:
        super().__init__(spec)
        self.batches: list[list[Request]] = []
        self.before = before

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        self.batches.append(list(requests))
        self.before(requests)
        yield from super().generate(requests)


class WatchedContinuousEngine(WatchedEngine):
    """Echoes a token a step, and lets others join.

    ``between`` is called before each step with the number of rows, and may raise. ``joined`` are the portions that it
    was given, in ``n_opened`` batches.
    """

    def __init__(self, spec: ModelSpec, between: Callable[[int], None] = lambda _: None) -> None:
        super().__init__(spec)
        self.joined: list[list[Request]] = []
        self.n_opened = self.most_rows = 0
        self._between = between

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), is_open=True, is_packed=True)

    def generate_from(self, source: Source) -> Iterator[Completion]:
        def watched() -> Sequence[Request]:
            joining = list(source())
            self.joined += [joining] if joining else []
            return joining

        self.n_opened += 1
        return super().generate_from(watched)

    def _step(self, n_rows: int) -> None:
        self.most_rows = max(self.most_rows, n_rows)
        self._between(n_rows)


class PickyEngine(WatchedEngine):
    """Cannot run a batch with a request of ``length`` tokens in it; answers half of such a batch first."""

    def __init__(self, spec: ModelSpec, length: int) -> None:
        super().__init__(spec)
        self._length = length

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        bad = any(len(request.tokens) == self._length for request in requests)
        good = [request for request in requests if len(request.tokens) != self._length]
        yield from super().generate(good[: len(good) // 2] if bad else requests)
        if bad:
            raise EngineError("a request of that length")


class SmallEngine(WatchedEngine):
    """Has memory for batches of at most ``padded`` tokens."""

    def __init__(self, spec: ModelSpec, padded: int) -> None:
        super().__init__(spec)
        self._padded = padded
        self.n_failures = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        if len(requests) * max(len(request.tokens) for request in requests) > self._padded:
            self.n_failures += 1
            raise OutOfMemoryError("too large")
        yield from super().generate(requests)


class ForgetfulEngine(WatchedEngine):
    """Leaves the marks of placeholders out of its answers; ``marks`` are their token ids."""

    def __init__(self, spec: ModelSpec, marks: frozenset[int]) -> None:
        super().__init__(spec)
        self._marks = marks

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for completion in super().generate(requests):
            kept = tuple(token for token in completion.tokens if token not in self._marks)
            yield Completion(completion.id, kept, completion.finish_reason)


class AwayEngine(WatchedEngine):
    """Stands on a server that goes away in the middle of its first batch, until ``is_away`` is false."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self.is_away = True

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        yield from super().generate(requests[:1] if self.is_away else requests)
        if self.is_away:
            raise EngineUnavailable("the server is away", retry_after=600)


class SilentEngine(WatchedEngine):
    """Says nothing about the last request of a batch, unless that stands alone."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        yield from super().generate(requests[:-1] if len(requests) > 1 else requests)
