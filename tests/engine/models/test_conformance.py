"""Every backend that ships, through the suite that backends from outside run too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lengthwise.models.catalog import Catalog
from tests.engine import tiny
from tests.engine.backends.served import served
from tests.engine.completions import completion_server
from tests.fakes import write_catalog
from worker.engine.conformance import (
    Conformance,
    ContinuousConformance,
    DecodingConformance,
    GenerationConformance,
    Subject,
)
from worker.engine.echo import EchoEngine
from worker.engine.openai.engine import OpenAIEngine
from worker.engine.protocol import Request


def asked() -> list[Request]:
    """Ids that are nobody's place in a batch."""
    return [request._replace(id=7 * request.id + 900) for request in tiny.requests()]


class TorchWriting(DecodingConformance):
    kind = ""
    quantization = "int8"

    @classmethod
    def make(cls, folder: Path) -> Subject:
        tiny.write(cls.kind, folder)
        tiny.choose_end(folder, asked())
        return Subject(tiny.load(folder, cls.quantization), asked(), tiny.text)


class TestTorchEncoderDecoder(TorchWriting):
    kind = "marian"
    supports_beams = True


class TestTorchDecoderOnly(TorchWriting, ContinuousConformance):
    kind = "llama"


class TestTorchClassifier(Conformance):
    @classmethod
    def make(cls, folder: Path) -> Subject:
        tiny.write("bert", folder)
        return Subject(tiny.load(folder, "int8"), asked())


class TestTorchFallback(TorchWriting):
    kind = "gpt2"
    quantization = "none"


class TestEcho(GenerationConformance):
    @classmethod
    def make(cls, folder: Path) -> Subject:
        engine = EchoEngine.load(Catalog.read(write_catalog(folder)).models["echo"])
        return Subject(engine, asked(), tiny.text)


class TestOpenEcho(ContinuousConformance):
    @classmethod
    def make(cls, folder: Path) -> Subject:
        path = write_catalog(folder, seconds_per_step=0.0001)
        return Subject(EchoEngine.load(Catalog.read(path).models["echo"]), asked(), tiny.text)


class TestOpenAI(DecodingConformance):
    """A server that takes ids and gives text."""

    prompt = "tokens"
    gives_ids = False
    knows_stop = True

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
        with completion_server() as server:
            server.gives_ids, server.knows_stop = cls.gives_ids, cls.knows_stop
            server.takes_ids = cls.prompt == "tokens"
            spec = served(tmp_path_factory.mktemp("served"), server, prompt=cls.prompt, returns_token_ids=cls.gives_ids)
            yield Subject(OpenAIEngine.load(spec), asked(), tiny.text)


class TestOpenAIGivingIds(TestOpenAI):
    gives_ids = True


class TestOpenAITakingText(TestOpenAI):
    """A server that takes only text, and no notice of stop strings."""

    prompt = "text"
    knows_stop = False
