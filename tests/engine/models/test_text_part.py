"""Models that also read images: their text part is served, and writes what the whole model writes of a text."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest
from tests.engine import tiny
from tests.engine.decode.test_generation import run
from tests.engine.models.test_hybrids import greedy
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.shrink import prepare

_SEES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
_TEXT: dict[str, Any] = tiny.IDS | tiny.DECODER
_LINEAR: dict[str, Any] = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"], "head_dim": 32, "tie_word_embeddings": False,
}  # fmt: skip

_EXPERTS = {
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32
}  # fmt: skip


def _gemma3(tied: bool = False) -> Any:
    text = tiny.hub.Gemma3TextConfig(**_TEXT, **tiny.GEMMA | {"tie_word_embeddings": tied})
    config = tiny.hub.Gemma3Config(
        text_config=text, vision_config=tiny.hub.SiglipVisionConfig(**_SEES), mm_tokens_per_image=4,
        image_token_index=5, boi_token_index=6, eoi_token_index=7, tie_word_embeddings=tied,
    )  # fmt: skip
    return tiny.hub.Gemma3ForConditionalGeneration(config)


def _llava(kind: str) -> Callable[[], Any]:
    def make() -> Any:
        text = getattr(tiny.hub, f"{kind}Config")(**_TEXT)
        config = tiny.hub.LlavaConfig(
            text_config=text, vision_config=tiny.hub.CLIPVisionConfig(**_SEES), image_token_index=5
        )
        return tiny.hub.LlavaForConditionalGeneration(config)

    return make


def _mistral3() -> Any:
    text = tiny.hub.MistralConfig(**_TEXT, head_dim=32)
    sees = tiny.hub.PixtralVisionConfig(**_SEES, head_dim=16)
    config = tiny.hub.Mistral3Config(
        text_config=text, vision_config=sees, image_token_index=5, tie_word_embeddings=False
    )
    return tiny.hub.Mistral3ForConditionalGeneration(config)


def _qwen3_5(name: str, **more: Any) -> Any:
    text = getattr(tiny.hub, f"{name}TextConfig")(**_TEXT, **_LINEAR, **more)
    sees = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 128}
    config = getattr(tiny.hub, f"{name}Config")(
        text_config=text.to_dict(), vision_config=sees | {"patch_size": 14}, tie_word_embeddings=False,
        image_token_id=5, video_token_id=6, vision_start_token_id=7, vision_end_token_id=8,
    )  # fmt: skip
    return getattr(tiny.hub, f"{name}ForConditionalGeneration")(config)


SEEING: dict[str, Callable[[], Any]] = {
    "gemma3": _gemma3,
    "gemma3-tied": lambda: _gemma3(tied=True),
    "llava-llama": _llava("Llama"),
    "llava-mistral": _llava("Mistral"),
    "llava-qwen2": _llava("Qwen2"),
    "llava-qwen3": _llava("Qwen3"),
    "mistral3": _mistral3,
    "qwen3_5": lambda: _qwen3_5("Qwen3_5"),
    "qwen3_5_moe": lambda: _qwen3_5("Qwen3_5Moe", **_EXPERTS),
}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path]]:
    @cache
    def make(kind: str) -> tuple[Any, Path]:
        folder: Path = tmp_path_factory.mktemp(kind)
        return tiny.save(SEEING[kind], folder), folder

    return make


def answers(engine: TorchEngine) -> dict[int, list[int]]:
    found = run(engine, tiny.requests(lengths=(7, 3, 40, 12)))
    return {number: [token for token in answer.tokens if token != tiny.END] for number, answer in found.items()}


@pytest.mark.parametrize("kind", SEEING)
@torch.inference_mode()
def test_the_text_part_writes_what_the_whole_model_writes(kind: str, seeing: Callable[[str], tuple[Any, Path]]) -> None:
    model, folder = seeing(kind)
    engine = tiny.load(folder)
    assert not any("vision" in name or "visual" in name for name, _ in engine.model.named_modules())
    assert engine.capabilities().context == tiny.DECODER["max_position_embeddings"]
    assert engine.fits is not kind.startswith("qwen3_5")
    expected = {request.id: greedy(model, request.tokens) for request in tiny.requests(lengths=(7, 3, 40, 12))}
    assert answers(engine) == expected
    assert kind == "gemma3-tied" or len({tuple(answer) for answer in expected.values()}) == len(expected)


@pytest.mark.parametrize("kind", ["gemma3", "qwen3_5"])
@pytest.mark.parametrize("before", ["model.language_model.", "language_model.model."])
def test_both_ways_to_name_the_weights_are_read(
    kind: str, before: str, seeing: Callable[[str], tuple[Any, Path]], tmp_path: Path
) -> None:
    """Families differ in the names that they are published with, and some repositories have the other ones."""
    folder = copied(seeing(kind)[1], tmp_path / "m")
    state = load_file(folder / "model.safetensors")
    for name in list(state):
        bare = name.replace("language_model.model.", "model.language_model.")
        bare = bare.replace("language_model.lm_head", "lm_head")
        head = "language_model." if before == "language_model.model." else ""
        wanted = bare.replace("model.language_model.", before).replace("lm_head", f"{head}lm_head")
        state[wanted] = state.pop(name)
    assert any(name.startswith(before) for name in state)
    save_file(state | {"mtp.fc.weight": torch.zeros(2)}, folder / "model.safetensors", {"format": "pt"})
    assert answers(tiny.load(folder)) == answers(tiny.load(seeing(kind)[1]))


def test_weights_of_no_known_part_are_named(
    seeing: Callable[[str], tuple[Any, Path]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copied(seeing("gemma3")[1], tmp_path / "m")
    state = load_file(folder / "model.safetensors") | {"surprise.weight": torch.zeros(2)}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    tiny.load(folder)
    assert "1 of its tensors belong to no part of the model: surprise.weight" in caplog.text


@pytest.mark.parametrize("kind", ["gemma3", "qwen3_5"])
def test_a_prepared_model_is_the_text_part_alone(
    kind: str, seeing: Callable[[str], tuple[Any, Path]], tmp_path: Path
) -> None:
    target = tmp_path / "prepared"
    target.mkdir()
    prepare.write(tiny.spec(seeing(kind)[1]), prepare.Recipe(quantize="none"), target)
    assert "text_config" not in json.loads((target / "config.json").read_bytes())
    assert answers(tiny.load(target)) == answers(tiny.load(seeing(kind)[1]))


@pytest.mark.parametrize("change", [{"model_type": "gemma"}, {"model_type": None}])
def test_a_text_part_that_is_not_known_is_refused_in_one_line(
    change: dict[str, Any], seeing: Callable[[str], tuple[Any, Path]], tmp_path: Path
) -> None:
    folder = copied(seeing("gemma3")[1], tmp_path / "m")
    inner = json.loads((folder / "config.json").read_bytes())["text_config"]
    tiny.edit_config(folder, text_config=inner | change)
    with pytest.raises(ConfigurationError, match="Gemma3ForConditionalGeneration reads more than text") as caught:
        tiny.load(folder, kind="generate")
    assert "\n" not in str(caught.value)


def copied(source: Path, target: Path) -> Path:
    """The folder without its manifest, for a test to change."""
    target.mkdir()
    for path in source.iterdir():
        if path.name != manifest.MANIFEST:
            (target / path.name).write_bytes(path.read_bytes())
    return target
