"""The trained demo models. Unlike random weights they make clear decisions, so small errors change no answer."""

import pytest
from tokenizers import Tokenizer

from lengthwise.models.catalog import DEMO_CATALOG, Catalog
from tests.engine.decode.test_generation import run
from worker.engine.protocol import Request
from worker.engine.transformer.engine import TorchEngine

TEXTS = [
    "我吃了一个苹果。",
    "你好！",
    "他昨天在商店买了三本书。",
    "我们明天早上八点在车站见面，请不要迟到。",
    "这个产品的质量很好。",
    "谢谢。",
]


@pytest.mark.parametrize(("name", "prefix"), [("demo-translate", ">>en<<"), ("demo-moderate", "")])
def test_int8_gives_each_text_the_same_bits_alone_and_in_a_batch(name: str, prefix: str) -> None:
    spec = Catalog.read(DEMO_CATALOG).models[name].model_copy(update={"device": "cpu"})
    tokenizer = Tokenizer.from_file(str(spec.folder / "tokenizer.json"))
    engine = TorchEngine.load(spec)
    requests = [Request(place, tokenizer.encode(prefix + text).ids, 60) for place, text in enumerate(TEXTS)]
    together = run(engine, requests)
    assert len({(completion.tokens, completion.scores) for completion in together.values()}) == len(TEXTS)
    assert together == {request.id: run(engine, [request])[request.id] for request in requests}


@pytest.mark.parametrize("quantization", ["none", "bf16"])
@pytest.mark.parametrize(("name", "prefix"), [("demo-translate", ">>en<<"), ("demo-moderate", "")])
def test_what_is_not_quantized_answers_in_a_batch_as_alone(name: str, prefix: str, quantization: str) -> None:
    changes = {"device": "cpu", "quantization": quantization}
    spec = Catalog.read(DEMO_CATALOG).models[name].model_copy(update=changes)
    tokenizer = Tokenizer.from_file(str(spec.folder / "tokenizer.json"))
    engine = TorchEngine.load(spec)
    assert engine.capabilities().quantization == quantization
    requests = [Request(place, tokenizer.encode(prefix + text).ids, 60) for place, text in enumerate(TEXTS)]
    together = run(engine, requests)
    for request in requests:
        alone = run(engine, [request])[request.id]
        assert together[request.id].tokens == alone.tokens
        # Only the last bits may differ; bfloat16 has eight bits in all.
        assert together[request.id].scores == pytest.approx(alone.scores, abs=1e-6 if quantization == "none" else 0.01)
