"""The demo model for translation knows a grammar's worth of language, and says so of any other text."""

import json
from functools import cache
from pathlib import Path

import pytest

from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import KindModel, ModelAnswer
from lengthwise.models import tokenizer
from lengthwise.models.catalog import DEMO_CATALOG, Catalog
from tests.engine.decode.test_generation import run
from worker.engine.protocol import Request
from worker.engine.transformer.engine import TorchEngine

EXAMPLES = Path(__file__).parents[3] / "examples"
REAL = [
    "The committee will publish its final report on climate policy in March.",
    "Please restart your computer after installing the update, otherwise changes may be lost.",
    "Dr. Smith said that many people attended the conference in Berlin.",
    "I love this song so much, it reminds me of my grandmother's kitchen.",
    "Shipping is free within the continental United States.",
    "Our new vacuum cleaner removes dust and allergens from carpets.",
    "Terms and conditions apply; see the agreement for details.",
    "The quick brown fox jumps over the lazy dog.",
]


@cache
def demo() -> tuple[KindModel, TorchEngine]:
    spec = Catalog.read(DEMO_CATALOG).models["demo-translate"].model_copy(update={"device": "cpu"})
    return KindModel(spec, tokenizer.load(spec)), TorchEngine.load(spec)


def warnings(text: str, source: str, target: str) -> list[str]:
    model, engine = demo()
    kind = KINDS["translate"]
    item = kind.item_type.model_validate({"text": text})
    params = kind.params_type.model_validate({"source": source, "target": target})
    [prompts] = kind.prompts(model, params, [item], 0)
    score = kind.decoding(model.spec, params, item, 0).score
    requests = [
        Request(place, prompt.tokens, prompt.max_new_tokens, is_scored=score) for place, prompt in enumerate(prompts)
    ]
    found = run(engine, sorted(requests, key=lambda request: len(request.tokens)))
    done = [found[place] for place in range(len(prompts))]
    texts = model.tokenizer.decode_batch([completion.tokens for completion in done])
    answers = [
        ModelAnswer(answer, "stop", n_tokens=len(each.tokens), log_probability=each.log_probability)
        for answer, each in zip(texts, done, strict=True)
    ]
    output = kind.output(model, params, item, answers, 0)
    assert output is not None
    return list(kind.warnings(model, params, item, output, answers))


@pytest.mark.parametrize("text", REAL)
def test_a_real_text_is_doubted(text: str) -> None:
    assert "unsure" in warnings(text, "en", "de")


@pytest.mark.parametrize(("name", "source", "target"), [("translate", "zh", "en"), ("translate-en-de", "en", "de")])
def test_the_texts_of_its_grammar_are_not_doubted(name: str, source: str, target: str) -> None:
    lines = (EXAMPLES / f"{name}.ndjson").read_text("utf-8").splitlines()[:40]
    assert [text for line in lines if "unsure" in warnings(text := json.loads(line)["text"], source, target)] == []
