"""SmolLM2-135M-Instruct with its real weights: chat and generate in fp32 write what transformers writes, and int8 stays
near it."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from benchmarks.fidelity import corpus, real_models, report
from benchmarks.fidelity.measure import TokenFidelity, token_fidelity
from benchmarks.fidelity.ours import forced_scores, load
from lengthwise.kinds.kind import KindModel
from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec
from tests.published.reference import prompt_ids
from tests.real.conftest import needs_vnni
from tests.real.prompts import BEGINNINGS, QUESTIONS
from tests.unit.kinds.kind_calls import prompts_of
from worker.engine.completions import completions
from worker.engine.protocol import Completion, FinishReason, Request
from worker.engine.transformer.engine import TorchEngine

hub: Any = transformers
_ABSENT = real_models.missing(real_models.CHAT_PACKAGE)
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(_ABSENT is not None, reason=_ABSENT or ""),
    pytest.mark.timeout(600),  # the model is made first
]

_NEW_TOKENS = 16
#: Texts that are read in int8, and tokens of each: as many as the figures of docs/models.md come from, nearly.
_TEXTS, _TOKENS = 16, 160


@pytest.fixture(scope="module")
def folder(models: Path) -> Path:
    return real_models.chat_model(models)


@pytest.fixture(scope="module")
def from_gguf() -> dict[str, Any]:
    """Where transformers finds the model as it is published, which our import knows nothing of."""
    path = real_models.file_of(real_models.CHAT_PACKAGE, ".gguf")
    return {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}


@pytest.fixture(scope="module")
def reference(from_gguf: dict[str, Any]) -> Any:
    return hub.AutoModelForCausalLM.from_pretrained(**from_gguf, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def reference_tokenizer(from_gguf: dict[str, Any]) -> Any:
    return hub.AutoTokenizer.from_pretrained(**from_gguf)


@pytest.fixture(scope="module")
def model(folder: Path) -> KindModel:
    table = {"path": folder, "quantization": "none", "device": "cpu", "max_new_tokens": _NEW_TOKENS}
    spec = ModelSpec.from_table("smollm2", table | {"chat": {}, "generate": {}})
    return KindModel(spec, tokenizer.load(spec))


@pytest.fixture(scope="module")
def exact(model: KindModel) -> TorchEngine:
    return TorchEngine.load(model.spec)


def prompts(model: KindModel, kind: str, texts: Sequence[str]) -> list[list[int]]:
    return [list(prompts_of(model, kind, {"text": text})[0].tokens) for text in texts]


def answers(engine: TorchEngine, asked: Sequence[Sequence[int]]) -> list[Completion]:
    requests = [Request(number, tokens, _NEW_TOKENS) for number, tokens in enumerate(asked)]
    return sorted(completions(engine, requests), key=lambda each: each.id)


@torch.inference_mode()
def is_greedy(reference: Any, ends: frozenset[int], prompt: Sequence[int], answer: Completion) -> bool:
    """Whether each token of the answer, its end too, is the likeliest behind the prompt and the tokens before it.

    Then, by induction, it is what transformers writes. One pass is much quicker than writing.
    """
    scores = reference(torch.tensor([[*prompt, *answer.tokens]]), use_cache=False).logits[0]
    likeliest = scores[len(prompt) - 1 :].argmax(dim=-1).tolist()
    ended = answer.finish_reason is not FinishReason.STOP or likeliest[-1] in ends
    return tuple(likeliest[:-1]) == answer.tokens and ended


def test_conversations_become_the_ids_of_the_models_own_template(model: KindModel, reference_tokenizer: Any) -> None:
    truth = [prompt_ids(reference_tokenizer, [{"role": "user", "content": text}]) for text in QUESTIONS]
    assert len(QUESTIONS) == 50
    assert prompts(model, "chat", QUESTIONS) == truth


def test_texts_become_the_ids_of_the_models_own_tokenizer(model: KindModel, reference_tokenizer: Any) -> None:
    assert len(BEGINNINGS) == 50
    assert prompts(model, "generate", BEGINNINGS) == [reference_tokenizer(text).input_ids for text in BEGINNINGS]


@pytest.mark.parametrize(("kind", "texts"), [("chat", QUESTIONS), ("generate", BEGINNINGS)])
def test_answers_in_fp32_are_those_of_transformers(
    kind: str, texts: Sequence[str], model: KindModel, exact: TorchEngine, reference: Any
) -> None:
    asked = prompts(model, kind, texts)
    found = answers(exact, asked)
    assert len({answer.tokens for answer in found}) > 40, "answers differ from each other"
    judge = partial(is_greedy, reference, frozenset(exact.vocabulary.ends))
    assert [place for place, answer in enumerate(found) if not judge(asked[place], answer)] == []


@torch.inference_mode()
def test_a_few_answers_are_those_that_transformers_writes_itself(
    model: KindModel, exact: TorchEngine, reference: Any
) -> None:
    asked = prompts(model, "chat", QUESTIONS[:4])
    for prompt, answer in zip(asked, answers(exact, asked), strict=True):
        [written] = reference.generate(torch.tensor([prompt]), max_new_tokens=_NEW_TOKENS, do_sample=False)
        tokens = tuple(written[len(prompt) :].tolist())
        assert answer.tokens in (tokens, tokens[:-1])


@needs_vnni
@torch.inference_mode()
def test_int8_stays_within_its_bounds(model: KindModel, folder: Path, reference: Any) -> None:
    texts = [ids[:_TOKENS] for ids in model.tokenizer.encode(corpus.sections(_TEXTS), framed=True)]
    scores = forced_scores(load(folder, "int8"), [ids[:-1] for ids in texts])
    found, start = TokenFidelity(), 0
    for ids in texts:
        truth = reference(torch.tensor([ids[:-1]]), use_cache=False).logits[0]
        found = found.plus(token_fidelity(truth, scores[start : start + len(truth)], torch.tensor(ids[1:])))
        start += len(truth)
    assert start == len(scores) > 2000
    assert 0 < found.kl <= report.MOST_KL
    assert found.relative_perplexity <= report.MOST_PERPLEXITY
    assert found.same_argmax > 0.9
