"""Checks on this processor that the C kernels compute correctly, before any model uses them.

The kernels have branches for several processors. Tests on another machine ran only the branches of its processor. So
each process compares every kernel with torch on a small sample. ``precision`` calls this when it loads a model.
"""

import logging

import torch
from torch import nn
from torch.nn import functional

from worker.engine.transformer.attention.interface import AttentionCall
from worker.engine.transformer.attention.native_backend import NativeRowLayout, attend, attend_prompts
from worker.engine.transformer.layers.replacement import is_close
from worker.engine.transformer.native import library
from worker.engine.transformer.native.fused import LayerNorm, RmsNorm
from worker.engine.transformer.native.linear import InputActivation, NativeInt8Linear, NativeLinear
from worker.engine.transformer.native.tokens import native_argmax, rotated, store_kv
from worker.engine.transformer.weights.int8_rows import as_rows

log = logging.getLogger(__name__)

#: Allowed error relative to the largest value, for int8 and for fp32. int8's own error stays below the first; the
#: error of a wrong sum is far above it.
_INT8_TOLERANCE, _TOLERANCE = 0.05, 1e-4
#: 37 rows fill the largest tiles and leave a rest; 90 inputs and 70 outputs do not fill their last vector.
_ROWS, _INPUTS, _OUTPUTS = 37, 90, 70
_LENGTHS, _SHARED, _HEADS, _SIZE = (5, 37), 2, 4, 48


def check_kernels() -> bool:
    """Compiles, loads and checks the kernels at the first call; returns whether the engine may use them.

    A failed check writes a warning to the log. Later calls return the first verdict.
    """
    known = library.verdict()
    if known is None:
        known = _are_right()
        library.set_verdict(known)
    return known


def _are_right() -> bool:
    if library.compiled_kernels() is None:
        return False
    failing = failing_kernels()
    if failing:
        log.warning(
            "the kernels compute wrongly here (%s): torch's kernels are used, which are slower; please report this "
            "with the output of lscpu",
            " and ".join(failing),
        )
    return not failing


@torch.inference_mode()
def failing_kernels() -> list[str]:
    """The names of the kernels that are wrong about a small sample; takes some milliseconds."""
    random = torch.Generator().manual_seed(0)
    checked = {
        "linear": all(
            _is_linear_right(before, is_transformed, random)
            for before in (InputActivation.NOTHING, InputActivation.SWIGLU)
            for is_transformed in (False, True)
        ),
        "exact": _is_exact_right(random),
        "attention": _is_attention_right(random),
        "norm": _is_norm_right(random),
        "tokens": _are_tokens_right(random),
    }
    return [name for name, is_right in checked.items() if not is_right]


def _is_linear_right(before: InputActivation, is_transformed: bool, random: torch.Generator) -> bool:
    layer = nn.Linear(_INPUTS, _OUTPUTS)
    layer.weight.copy_(torch.randn(_OUTPUTS, _INPUTS, generator=random))
    x = torch.randn(_ROWS, _INPUTS * (2 if before is InputActivation.SWIGLU else 1), generator=random)
    changed = x if before is InputActivation.NOTHING else functional.silu(x[:, :_INPUTS]) * x[:, _INPUTS:]
    weights = as_rows(layer.weight, is_transformed)
    return is_close(NativeInt8Linear(layer, before, weights)(x), layer(changed), _INT8_TOLERANCE)


def _is_exact_right(random: torch.Generator) -> bool:
    layer, x = nn.Linear(_INPUTS, _OUTPUTS), torch.randn(_ROWS, _INPUTS, generator=random)
    return is_close(NativeLinear(layer)(x), layer(x), _TOLERANCE)


def _is_attention_right(random: torch.Generator) -> bool:
    """Two rows that fill their memory: a decode step of each row's last token, then prefill of all tokens."""
    starts = [0, _LENGTHS[0]]
    rows = NativeRowLayout(starts, _LENGTHS, _LENGTHS)
    fp16 = torch.randn(2, sum(_LENGTHS) * _SHARED, _SIZE, generator=random).half()
    keys, values = fp16.float()
    query = torch.randn(sum(_LENGTHS), _HEADS, _SIZE, generator=random)
    expected = torch.cat([
        _attended(queries, *(part[start * _SHARED :][: length * _SHARED] for part in (keys, values)))
        for queries, start, length in zip(query.split_with_sizes(_LENGTHS), starts, _LENGTHS, strict=True)
    ])  # fmt: skip
    ends = torch.tensor(_LENGTHS).cumsum(0) - 1
    return all(
        is_close(attend(rows, call, query[ends], _SHARED), expected[ends], _TOLERANCE)
        and is_close(attend_prompts(rows, call, query, _SHARED, 0), expected, _TOLERANCE)
        for key, value in ((keys, values), fp16)
        for call in [AttentionCall(query, key, value, _SIZE**-0.5, None, None)]
    )


def _attended(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """torch's causal attention: ``query`` ``[tokens, heads, size]`` over its row's ``[shared × tokens, size]``."""
    key, value = (part.view(_SHARED, len(query), _SIZE) for part in (keys, values))
    attended = functional.scaled_dot_product_attention(
        query.transpose(0, 1)[None], key[None], value[None], is_causal=True, enable_gqa=True
    )
    return attended[0].transpose(0, 1)


def _is_norm_right(random: torch.Generator) -> bool:
    weight, x = torch.randn(_INPUTS, generator=random), torch.randn(_ROWS, _INPUTS, generator=random)
    is_rms_right = is_close(RmsNorm(weight, 1e-5)(x), functional.rms_norm(x, (_INPUTS,), weight, 1e-5), _TOLERANCE)
    expected = functional.layer_norm(x, (_INPUTS,), weight, weight, 1e-5)
    return is_rms_right and is_close(LayerNorm(weight, weight, 1e-5)(x), expected, _TOLERANCE)


def _are_tokens_right(random: torch.Generator) -> bool:
    """Checks argmax, the rotary embedding, and that new keys and values land in their places."""
    scores = torch.randn(_ROWS, 40 * _INPUTS, generator=random)
    x = torch.randn(_ROWS, _HEADS, _SIZE, generator=random)
    cos, sin = torch.randn(2, _ROWS, _SIZE, generator=random)
    half = _SIZE // 2
    expected = x * cos[:, None] + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin[:, None]
    keys, values = torch.zeros(2, _ROWS * _HEADS, _SIZE)
    store_kv(x, -x, keys, values, torch.stack([torch.arange(_ROWS), torch.full((_ROWS,), _ROWS)]))
    stored = x.transpose(0, 1).flatten(0, 1)
    return (
        torch.equal(scores.argmax(dim=1), torch.tensor(native_argmax(scores)))
        and is_close(rotated(x, cos, sin), expected, _TOLERANCE)
        and torch.equal(keys, stored)
        and torch.equal(values, -stored)
    )
