"""Embedders of every pooling, with linear layers behind it, and decoders as embedders, against transformers."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest
from tests.engine import tiny
from tests.engine.decode.test_generation import run
from worker.engine.transformer.shrink import prepare

_SIZE = 64
_TANH = "torch.nn.modules.activation.Tanh"

#: sentence-transformers' formulas, for a padded batch: tokens' vectors ``[rows, width, size]`` and their mask.
FORMULAS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mean_tokens": lambda hidden, mask: (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True),
    "cls_token": lambda hidden, mask: hidden[torch.arange(len(hidden)), mask.argmax(1)],
    "lasttoken": lambda hidden, mask: hidden[
        torch.arange(len(hidden)), mask.shape[1] - 1 - mask.flip(1).argmax(1)
    ],
    "max_tokens": lambda hidden, mask: hidden.masked_fill(mask[..., None] == 0, -1e9).amax(1),
    "mean_sqrt_len_tokens": lambda hidden, mask: (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).sqrt(),
    "weightedmean_tokens": lambda hidden, mask: (
        (hidden * (mask * mask.cumsum(1))[..., None]).sum(1) / (mask * mask.cumsum(1)).sum(1, keepdim=True)
    ),
}  # fmt: skip

_DECODER: dict[str, Any] = tiny.IDS | tiny.DECODER | {"hidden_size": _SIZE}
_BOTH_WAYS: dict[str, Any] = tiny.GEMMA | {"use_bidirectional_attention": True, "sliding_window": 8}
MODELS: dict[str, Callable[[], Any]] = {
    "bert": lambda: tiny.hub.BertModel(tiny.hub.BertConfig(**tiny.CLASSIFIER, **tiny.ENCODER)),
    "mpnet": lambda: tiny.hub.MPNetModel(tiny.hub.MPNetConfig(**tiny.CLASSIFIER, **tiny.ENCODER)),
    "qwen3": lambda: tiny.hub.Qwen3Model(tiny.hub.Qwen3Config(**_DECODER, head_dim=32)),
    "qwen3-writing": lambda: tiny.hub.Qwen3ForCausalLM(tiny.hub.Qwen3Config(**_DECODER, head_dim=32)),
    "mistral": lambda: tiny.hub.MistralModel(tiny.hub.MistralConfig(**_DECODER, sliding_window=20)),
    "gemma3-both-ways": lambda: tiny.hub.Gemma3TextModel(tiny.hub.Gemma3TextConfig(**_DECODER, **_BOTH_WAYS)),
    "t5-encoder": lambda: tiny.hub.T5EncoderModel(
        tiny.hub.T5Config(vocab_size=tiny.VOCABULARY, d_model=_SIZE, d_kv=32, d_ff=128, num_layers=2, num_heads=2)
    ),
}  # fmt: skip


def written(kind: str, folder: Path, *steps: str, **pooling: Any) -> Any:
    """Writes the model with the files of sentence-transformers: a pooling, then ``steps``."""
    model = tiny.save(MODELS[kind], folder)
    (folder / manifest.MANIFEST).unlink()
    types = ["Transformer", "Pooling", *steps]
    modules = [{"type": f"sentence_transformers.models.{each}", "path": ""} for each in types]
    for place, each in enumerate(types[1:], 1):
        modules[place]["path"] = f"{place}_{each}"
        (folder / f"{place}_{each}").mkdir()
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": _SIZE} | pooling))
    return model


def dense(folder: Path, name: str, inputs: int, outputs: int, activation: str, *, has_bias: bool = True) -> nn.Linear:
    """Writes a linear layer as sentence-transformers does."""
    torch.manual_seed(outputs)
    layer = nn.Linear(inputs, outputs, bias=has_bias)
    config = {"in_features": inputs, "out_features": outputs, "bias": has_bias, "activation_function": activation}
    (folder / name / "config.json").write_text(json.dumps(config))
    save_file({f"linear.{key}": each for key, each in layer.state_dict().items()}, folder / name / "model.safetensors")
    return layer


def left_padded(model: Any, inputs: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens' vectors of one batch that is padded on the left, as tokenizers of decoders do, and the mask."""
    width = max(map(len, inputs))
    ids = torch.tensor([[tiny.PAD] * (width - len(tokens)) + list(tokens) for tokens in inputs])
    mask = torch.tensor([[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in inputs])
    return model(input_ids=ids, attention_mask=mask).last_hidden_state, mask


def right_padded(model: Any, inputs: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, inputs))
    ids = torch.tensor([list(tokens) + [tiny.PAD] * (width - len(tokens)) for tokens in inputs])
    mask = torch.tensor([[1] * len(tokens) + [0] * (width - len(tokens)) for tokens in inputs])
    return model(input_ids=ids, attention_mask=mask).last_hidden_state, mask


def vectors(folder: Path, quantization: str = "none") -> torch.Tensor:
    found = run(tiny.load(folder, quantization, "embed"), tiny.requests())
    return torch.tensor([found[number].vector for number in sorted(found)])


INPUTS = [request.tokens for request in tiny.requests()]


@pytest.mark.parametrize("mode", FORMULAS)
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
@torch.inference_mode()
def test_a_vector_is_pooled_by_sentence_transformers_formula(kind: str, mode: str, tmp_path: Path) -> None:
    model = written(kind, tmp_path, "Normalize", **{f"pooling_mode_{mode}": True})
    expected = nn.functional.normalize(FORMULAS[mode](*right_padded(model, INPUTS)))
    assert torch.allclose(vectors(tmp_path), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["qwen3", "qwen3-writing", "mistral", "gemma3-both-ways"])
@torch.inference_mode()
def test_the_last_tokens_vector_does_not_depend_on_the_side_of_the_padding(kind: str, tmp_path: Path) -> None:
    model = written(kind, tmp_path, "Normalize", pooling_mode_lasttoken=True, include_prompt=True)
    bare = model.model if kind == "qwen3-writing" else model
    expected = nn.functional.normalize(FORMULAS["lasttoken"](*left_padded(bare, INPUTS)))
    assert torch.allclose(vectors(tmp_path), expected, rtol=0, atol=1e-5)
    assert torch.pdist(expected).min() > 1e-3, "to prove anything"


def test_a_writing_model_may_be_published_without_its_head_and_prefix(tmp_path: Path) -> None:
    written("qwen3-writing", tmp_path, pooling_mode_lasttoken=True)
    whole, file = vectors(tmp_path), tmp_path / "model.safetensors"
    state = {name.removeprefix("model."): tensor for name, tensor in load_file(file).items() if "lm_head" not in name}
    save_file(state, file, {"format": "pt"})
    assert torch.equal(vectors(tmp_path), whole)


@pytest.mark.parametrize("kind", ["gemma3-both-ways", "t5-encoder", "bert"])
@torch.inference_mode()
def test_layers_behind_the_pooling_follow_in_the_order_of_their_file(kind: str, tmp_path: Path) -> None:
    model = written(kind, tmp_path, "Dense", "Dense", "Normalize", pooling_mode_mean_tokens=True)
    wide = dense(tmp_path, "2_Dense", _SIZE, 96, "torch.nn.modules.linear.Identity", has_bias=False)
    narrow = dense(tmp_path, "3_Dense", 96, 48, _TANH)
    mean = FORMULAS["mean_tokens"](*right_padded(model, INPUTS))
    expected = nn.functional.normalize(torch.tanh(narrow(wide(mean))))
    found = vectors(tmp_path)
    assert found.shape == (len(INPUTS), 48)
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("linear.Identity", lambda x: x),
        ("activation.Tanh", torch.tanh),
        ("activation.ReLU", nn.functional.relu),
        ("activation.GELU", nn.functional.gelu),
        ("activation.SiLU", nn.functional.silu),
        ("activation.Sigmoid", torch.sigmoid),
    ],
)
@torch.inference_mode()
def test_each_activation_is_torchs(name: str, function: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path) -> None:
    model = written("bert", tmp_path, "Dense", pooling_mode="cls")
    layer = dense(tmp_path, "2_Dense", _SIZE, 16, f"torch.nn.modules.{name}")
    expected = function(layer(FORMULAS["cls_token"](*right_padded(model, INPUTS))))
    assert torch.allclose(vectors(tmp_path), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "outputs", "damage"),
    [(32, 16, None), (_SIZE, 16, b"{}"), (_SIZE, 16, b""), (_SIZE, 16, "shape"), (_SIZE, 16, "missing")],
)
def test_a_layer_that_does_not_fit_is_refused(inputs: int, outputs: int, damage: Any, tmp_path: Path) -> None:
    written("bert", tmp_path, "Dense", pooling_mode="cls")
    dense(tmp_path, "2_Dense", inputs, outputs, _TANH)
    file = tmp_path / "2_Dense" / "model.safetensors"
    if isinstance(damage, bytes):
        file.write_bytes(damage)
    elif damage == "shape":
        save_file({"linear.weight": torch.zeros(outputs, 8), "linear.bias": torch.zeros(outputs)}, file)
    elif damage == "missing":
        file.unlink()
    with pytest.raises(ConfigurationError, match=r"2_Dense/model\.safetensors"):
        tiny.load(tmp_path, kind="embed")


def test_a_layers_weights_are_compared_with_the_manifest(tmp_path: Path) -> None:
    written("bert", tmp_path, "Dense", pooling_mode="cls")
    dense(tmp_path, "2_Dense", _SIZE, 16, _TANH)
    manifest.write_all(tmp_path)
    tiny.load(tmp_path, kind="embed")
    dense(tmp_path, "2_Dense", _SIZE, 16, _TANH, has_bias=False)
    with pytest.raises(ConfigurationError, match="2_Dense"):
        tiny.load(tmp_path, kind="embed")


@pytest.mark.parametrize("quantize", ["int8", "none"])
def test_a_prepared_embedder_keeps_its_layers_and_its_limit(quantize: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    written("qwen3-writing", source, "Dense", "Dense", "Normalize", pooling_mode_lasttoken=True)
    dense(source, "2_Dense", _SIZE, 96, _TANH)
    dense(source, "3_Dense", 96, 48, _TANH)
    (source / "sentence_bert_config.json").write_text('{"max_seq_length": 60}')
    prepare.write(tiny.spec(source), prepare.Recipe(quantize=quantize), target)
    assert tiny.spec(target).context == 60
    likeness = torch.cosine_similarity(vectors(source), vectors(target))
    assert likeness.min() > (0.97 if quantize == "int8" else 1 - 1e-6)
