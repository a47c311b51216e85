"""Checkpoints that are published quantized. What transformers cannot run here has the form alone, and random bits."""

import re
from collections.abc import Callable
from typing import Any

import torch

from tests.published.forms import weights
from tests.published.forms.weights import Tensors

_LINEAR = re.compile(r"model\.layers\.\d+\.(self_attn\.[qkvo](_[ab])?|mlp(\.experts\.\d+|\.shared_experts)?\.\w+)_proj"
                     r"(_with_mqa)?\.weight")  # fmt: skip
_BLOCK = 128
_GREATEST_FP8 = 448.0


def is_linear(name: str) -> bool:
    """Whether quantizers usually quantize this tensor: the vocabulary and the norms stay as they are."""
    return _LINEAR.fullmatch(name) is not None


def _quantized(
    config: dict[str, Any], fields: dict[str, Any], split: Callable[[str, torch.Tensor], Tensors],
    form: weights.Form = weights.single, dtype: torch.dtype = torch.float16,
    used: int | None = None,
) -> Callable[..., None]:  # fmt: skip
    def change(tensors: Tensors) -> Tensors:
        found: Tensors = {}
        for name, tensor in tensors.items():
            found |= split(name, tensor) if is_linear(name) else {name: tensor}
        return found

    return weights.write(config | {"quantization_config": fields}, form, dtype=dtype, change=change, used=used)


def fp8(config: dict[str, Any], form: weights.Form = weights.single, used: int | None = None) -> Callable[..., None]:
    """FP8 with a scale for each block of 128 × 128 (DeepSeek, Qwen)."""
    fields = {
        "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [_BLOCK, _BLOCK],
    }  # fmt: skip
    return _quantized(config, fields, _fp8_blocks, form, torch.bfloat16, used)


def _fp8_blocks(name: str, tensor: torch.Tensor) -> Tensors:
    rows, columns = (-(-size // _BLOCK) for size in tensor.shape)
    scales = torch.empty(rows, columns)
    found = torch.empty(tensor.shape, dtype=torch.float8_e4m3fn)
    for row in range(rows):
        for column in range(columns):
            place = (slice(row * _BLOCK, (row + 1) * _BLOCK), slice(column * _BLOCK, (column + 1) * _BLOCK))
            block = tensor[place].float()
            scales[row, column] = block.abs().max() / _GREATEST_FP8
            found[place] = (block / scales[row, column]).to(torch.float8_e4m3fn)
    return {name: found, f"{name}_scale_inv": scales}


def mxfp4(config: dict[str, Any], form: weights.Form) -> Callable[..., None]:
    """gpt-oss: the experts' matrices as four-bit numbers, 32 of which share an exponent."""
    fields = {
        "modules_to_not_convert": [
            "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head",
        ],
        "quant_method": "mxfp4",
    }  # fmt: skip

    def change(tensors: Tensors) -> Tensors:
        draw = torch.Generator().manual_seed(4)
        found: Tensors = {}
        for name, tensor in tensors.items():
            if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
                experts, inner, outer = tensor.shape
                shape = (experts, outer, inner // 32)
                found[f"{name}_blocks"] = torch.randint(0, 256, (*shape, 16), generator=draw).to(torch.uint8)
                found[f"{name}_scales"] = torch.randint(121, 124, shape, generator=draw).to(torch.uint8)
            else:
                found[name] = tensor
        return found

    return weights.write(config | {"quantization_config": fields}, form, dtype=torch.bfloat16, change=change)


def _bits(*shape: int) -> torch.Tensor:
    return torch.randint(-(2**31), 2**31 - 1, shape, generator=torch.Generator().manual_seed(5), dtype=torch.int32)


def gptq(config: dict[str, Any]) -> Callable[..., None]:
    fields = {
        "batch_size": 1, "bits": 4, "damp_percent": 0.01, "dataset": None, "desc_act": False, "group_size": 128,
        "modules_in_block_to_quantize": None, "quant_method": "gptq", "sym": True, "true_sequential": True,
    }  # fmt: skip

    def split(name: str, tensor: torch.Tensor) -> Tensors:
        outer, inner = tensor.shape
        module, groups = name.removesuffix(".weight"), -(-inner // 128)
        return {
            f"{module}.qweight": _bits(inner // 8, outer), f"{module}.qzeros": _bits(groups, outer // 8),
            f"{module}.scales": torch.full((groups, outer), 0.01, dtype=torch.float16),
            f"{module}.g_idx": (torch.arange(inner) // 128).int(),
        }  # fmt: skip

    return _quantized(config, fields, split)


def awq(config: dict[str, Any]) -> Callable[..., None]:
    fields = {
        "bits": 4, "group_size": 128, "modules_to_not_convert": None, "quant_method": "awq", "version": "gemm",
        "zero_point": True,
    }  # fmt: skip

    def split(name: str, tensor: torch.Tensor) -> Tensors:
        outer, inner = tensor.shape
        module, groups = name.removesuffix(".weight"), -(-inner // 128)
        return {
            f"{module}.qweight": _bits(inner, outer // 8), f"{module}.qzeros": _bits(groups, outer // 8),
            f"{module}.scales": torch.full((groups, outer), 0.01, dtype=torch.float16),
        }  # fmt: skip

    return _quantized(config, fields, split)


def bitsandbytes(config: dict[str, Any]) -> Callable[..., None]:
    fields = {
        "_load_in_4bit": True, "_load_in_8bit": False, "bnb_4bit_compute_dtype": "bfloat16",
        "bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
        "llm_int8_enable_fp32_cpu_offload": False, "llm_int8_has_fp16_weight": False, "llm_int8_skip_modules": None,
        "llm_int8_threshold": 6.0, "load_in_4bit": True, "load_in_8bit": False, "quant_method": "bitsandbytes",
    }  # fmt: skip

    def split(name: str, tensor: torch.Tensor) -> Tensors:
        count = tensor.numel()
        return {
            name: _bits(count // 8).view(torch.uint8)[:, None],
            f"{name}.absmax": torch.zeros(count // 64, dtype=torch.uint8),
            f"{name}.quant_map": torch.linspace(-1, 1, 16),
            f"{name}.nested_absmax": torch.ones(1),
            f"{name}.nested_quant_map": torch.linspace(-1, 1, 256),
            f"{name}.quant_state.bitsandbytes__nf4": torch.zeros(64, dtype=torch.uint8),
        }

    return _quantized(config, fields, split, dtype=torch.bfloat16)


def compressed_tensors(config: dict[str, Any]) -> Callable[..., None]:
    weight = {"num_bits": 8, "strategy": "channel", "symmetric": True, "type": "int", "dynamic": False}
    inputs = {"num_bits": 8, "strategy": "token", "symmetric": True, "type": "int", "dynamic": True}
    fields = {
        "config_groups": {"group_0": {"input_activations": inputs, "targets": ["Linear"], "weights": weight}},
        "format": "int-quantized", "ignore": ["lm_head"], "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
    }  # fmt: skip

    def split(name: str, tensor: torch.Tensor) -> Tensors:
        scales = tensor.float().abs().amax(1, keepdim=True) / 127
        return {name: (tensor.float() / scales).round().to(torch.int8), f"{name}_scale": scales.to(tensor.dtype)}

    return _quantized(config, fields, split, dtype=torch.bfloat16)
