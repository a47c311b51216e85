"""The longest input of models that count their positions from the padding token: it runs, and one more would not."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine import tiny
from tests.engine.decode.test_generation import run
from worker.engine.protocol import EngineError, Request

_POSITIONS = 40
_SIZES: dict[str, Any] = tiny.CLASSIFIER | tiny.ENCODER | {"max_position_embeddings": _POSITIONS}


def _model(name: str, **more: Any) -> Callable[[], Any]:
    return lambda: getattr(tiny.hub, f"{name}Model")(getattr(tiny.hub, f"{name}Config")(**_SIZES | more))


#: By ``model_type``: the model, and how many of its positions the padding takes with the padding token 0, and 3.
FAMILIES: dict[str, tuple[Callable[..., Callable[[], Any]], int, int]] = {
    "bert": (lambda **more: _model("Bert", **more), 0, 0),
    "camembert": (lambda **more: _model("Camembert", **more), 1, 4),
    "data2vec-text": (lambda **more: _model("Data2VecText", **more), 1, 4),
    "esm": (lambda **more: _model("Esm", position_embedding_type="absolute", mask_token_id=4, **more), 1, 4),
    "ibert": (lambda **more: _model("IBert", **more), 1, 4),
    "longformer": (lambda **more: _model("Longformer", attention_window=8, **more), 1, 4),
    "luke": (lambda **more: _model("Luke", entity_vocab_size=8, entity_emb_size=8, **more), 1, 4),
    "mpnet": (lambda **more: _model("MPNet", **more), 2, 2),
    "roberta": (lambda **more: _model("Roberta", **more), 1, 4),
    "roberta-prelayernorm": (lambda **more: _model("RobertaPreLayerNorm", **more), 1, 4),
    "xlm-roberta": (lambda **more: _model("XLMRoberta", **more), 1, 4),
    "xlm-roberta-xl": (lambda **more: _model("XLMRobertaXL", **more), 1, 4),
    "xmod": (lambda **more: _model("Xmod", languages=["en_XX"], default_language="en_XX", **more), 1, 4),
}


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("kind", FAMILIES)
@torch.inference_mode()
def test_the_longest_input_runs_and_is_what_the_context_says(kind: str, padding: int, tmp_path: Path) -> None:
    make, *taken = FAMILIES[kind]
    model = tiny.save(make(pad_token_id=padding), tmp_path)
    assert model.config.model_type == kind
    engine = tiny.load(tmp_path, kind="embed")
    context = engine.capabilities().context
    assert context == _POSITIONS - taken[padding == 3]
    longest = Request(1, [5 + place % 100 for place in range(context)], 0)
    short = Request(0, longest.tokens[: context // 2], 0)
    found = run(engine, [longest, short])
    for request in (longest, short):
        expected = model(torch.tensor([request.tokens])).last_hidden_state[0, : len(request.tokens)].mean(dim=0)
        assert torch.allclose(torch.tensor(found[request.id].vector), expected, rtol=0, atol=1e-5)
    with pytest.raises(EngineError):
        run(engine, [longest._replace(tokens=[*longest.tokens, 5])])
    with pytest.raises((IndexError, RuntimeError, ValueError)):  # it has no position for one more
        model(torch.tensor([[*longest.tokens, 5]]))
