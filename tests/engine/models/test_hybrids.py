"""Models with gated norms and state-space layers: they run on transformers' own caches, and write what it writes."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.engine import tiny
from tests.engine.decode.test_generation import run
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.layers.norm import TorchRmsNorm, fuse_norms

_LINEAR: dict[str, Any] = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"], "head_dim": 32,
}  # fmt: skip
_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2}
_MAMBA: dict[str, Any] = {"mamba_n_heads": 8, "mamba_d_head": 32, "mamba_d_state": 16, "mamba_n_groups": 1}

HYBRIDS: dict[str, Callable[[], Any]] = {
    "qwen3_next": lambda: tiny.hub.Qwen3NextForCausalLM(
        tiny.hub.Qwen3NextConfig(
            **tiny.IDS, **tiny.DECODER, **_LINEAR, **_EXPERTS, num_experts=4, moe_intermediate_size=32,
            shared_expert_intermediate_size=32,
        )
    ),
    "qwen3_5_text": lambda: tiny.hub.Qwen3_5ForCausalLM(
        tiny.hub.Qwen3_5TextConfig(**tiny.IDS, **tiny.DECODER, **_LINEAR)
    ),
    "granitemoehybrid": lambda: tiny.hub.GraniteMoeHybridForCausalLM(
        tiny.hub.GraniteMoeHybridConfig(
            **tiny.IDS, **tiny.DECODER, **_MAMBA, **_EXPERTS, layer_types=["mamba", "attention"], num_local_experts=4,
            shared_intermediate_size=64,
        )
    ),
    "bamba": lambda: tiny.hub.BambaForCausalLM(
        tiny.hub.BambaConfig(**tiny.IDS, **tiny.DECODER, **_MAMBA, attn_layer_indices=[1])
    ),
    "falcon_h1": lambda: tiny.hub.FalconH1ForCausalLM(
        tiny.hub.FalconH1Config(
            **tiny.IDS, **tiny.DECODER, **_MAMBA | {"mamba_d_head": 16}, mamba_d_ssm=128, mamba_rms_norm=True
        )
    ),
    "mamba2": lambda: tiny.hub.Mamba2ForCausalLM(
        tiny.hub.Mamba2Config(
            **tiny.IDS, hidden_size=64, num_hidden_layers=2, num_heads=8, head_dim=16, state_size=16, n_groups=1,
            initializer_range=0.4,
        )
    ),
    "mamba": lambda: tiny.hub.MambaForCausalLM(
        tiny.hub.MambaConfig(**tiny.IDS, hidden_size=64, num_hidden_layers=2, state_size=16, initializer_range=0.4)
    ),
    "falcon_mamba": lambda: tiny.hub.FalconMambaForCausalLM(
        tiny.hub.FalconMambaConfig(
            **tiny.IDS, hidden_size=64, num_hidden_layers=2, state_size=16, initializer_range=0.4
        )
    ),
    "minimax": lambda: tiny.hub.MiniMaxForCausalLM(
        tiny.hub.MiniMaxConfig(
            **tiny.IDS, **tiny.DECODER, **_EXPERTS, head_dim=32, num_local_experts=4, block_size=8,
            layer_types=["linear_attention", "full_attention"],
        )
    ),
    "rwkv": lambda: tiny.hub.RwkvForCausalLM(
        tiny.hub.RwkvConfig(
            **tiny.IDS, hidden_size=64, attention_hidden_size=64, num_hidden_layers=2, intermediate_size=128,
            context_length=128,
        )
    ),
    "lfm2": lambda: tiny.hub.Lfm2ForCausalLM(
        tiny.hub.Lfm2Config(**tiny.IDS, **tiny.DECODER, layer_types=["conv", "full_attention"])
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, TorchEngine]]:
    @cache
    def make(kind: str) -> tuple[Any, TorchEngine]:
        folder: Path = tmp_path_factory.mktemp(kind)
        return tiny.save(HYBRIDS[kind], folder), tiny.load(folder)

    return make


@pytest.mark.parametrize("kind", HYBRIDS)
@torch.inference_mode()
def test_a_mixed_batch_of_a_hybrid_writes_what_transformers_writes(
    kind: str, hybrid: Callable[[str], tuple[Any, TorchEngine]]
) -> None:
    model, engine = hybrid(kind)
    requests = tiny.requests(lengths=(7, 3, 20, 12))
    found = run(engine, requests)
    expected = {request.id: greedy(model, request.tokens) for request in requests}
    assert {number: list(answer.tokens) for number, answer in found.items()} == expected
    assert len({tuple(answer) for answer in expected.values()}) == len(requests), "to prove anything"


@pytest.mark.parametrize("kind", HYBRIDS)
def test_a_hybrid_has_none_of_our_own_caches(kind: str, hybrid: Callable[[str], tuple[Any, TorchEngine]]) -> None:
    _, engine = hybrid(kind)
    capabilities = engine.capabilities()
    assert (engine.fits, capabilities.is_packed, capabilities.is_continuous) == (False, False, False)


def greedy(model: Any, tokens: Any, limit: int = 12) -> list[int]:
    """transformers' greedy answer to one prompt, without its end token."""
    config = tiny.hub.GenerationConfig(
        max_new_tokens=limit, do_sample=False, pad_token_id=tiny.PAD, eos_token_id=tiny.END
    )
    ids = torch.tensor([list(tokens)])
    written = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)[0, len(tokens) :]
    return [token for token in written.tolist() if token != tiny.END]


class _GatedNorm(nn.Module):
    """As transformers' gated norms: without a gate it is a plain one, so its output for one tensor proves nothing."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.rand(size)), 1e-6

    def forward(self, hidden: torch.Tensor, gate: torch.Tensor | None = None) -> torch.Tensor:
        found = nn.functional.rms_norm(hidden, self.weight.shape, self.weight, self.eps)
        return found if gate is None else found * nn.functional.silu(gate)


def test_only_a_norm_that_reads_one_tensor_is_fused() -> None:
    model = nn.ModuleDict({"gated": _GatedNorm(8), "plain": nn.RMSNorm(8, eps=1e-6)})
    fuse_norms(model, TorchRmsNorm)
    assert [type(module) for module in model.values()] == [_GatedNorm, TorchRmsNorm]
