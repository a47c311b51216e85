"""Chooses the arithmetic that a model runs in, and puts the model into it: kernels, fused layers, tensor parallelism.

On a CPU: ``int8`` quantizes every linear layer row by row, ``none`` is fp32 on our kernels or by oneDNN, and ``bf16``
leaves the layers as they are. On a GPU int8 is not implemented, and bf16 takes its place.
"""

import logging
from typing import Any, Literal

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from lengthwise.errors import ConfigurationError
from worker.engine.protocol import Architecture
from worker.engine.transformer.kernel_check import check_kernels
from worker.engine.transformer.layers.fused_projections import fuse_projections
from worker.engine.transformer.layers.linear import (
    PackedLinear,
    RowInt8Linear,
    RowwiseLinear,
    fold_logits_bias,
    has_int8,
    has_onednn,
    replace_linears,
)
from worker.engine.transformer.layers.norm import TorchRmsNorm, fuse_norms
from worker.engine.transformer.layers.replacement import bypass_call_overhead
from worker.engine.transformer.native.fused import LayerNorm, RmsNorm, fuse_feed_forwards
from worker.engine.transformer.native.linear import NativeInt8Linear, NativeLinear
from worker.engine.transformer.native.rotary import fuse_rotary_embeddings

log = logging.getLogger(__name__)

Precision = Literal["int8", "bf16", "none"]


def device(name: str) -> torch.device:
    """The torch device of this name; ``auto`` is the GPU if the machine has one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def supported_precision(requested: Precision, where: torch.device, fits: bool) -> Precision:
    """The requested precision, or the nearest one that machine and model support; then it logs a warning.

    ``fits``: whether the architecture runs on our own attention.
    """
    if requested != "int8":
        return requested
    if where.type != "cpu":
        log.warning("int8 runs on the CPU only: this model runs in bf16 on %s", where.type)
        return "bf16"
    if not fits or not has_int8():
        log.warning("this %s does not support int8: the model runs in fp32", "machine" if fits else "architecture")
        return "none"
    return "int8"


def apply(model: Any, precision: Precision, where: torch.device, architecture: Architecture) -> None:
    """Moves the model to its device and replaces its layers, in place; the old weights are freed.

    On a CPU in fp32 or int8 this checks the C kernels first (``kernel_check``), and uses them only if they pass.
    """
    if where.type != "cpu":
        fuse_norms(model, TorchRmsNorm)
        fuse_projections(model)
    model.to(where)
    if where.type != "cpu" or precision == "bf16":
        return
    fold_logits_bias(model)
    has_kernels = check_kernels()
    if has_kernels:
        fuse_rotary_embeddings(model)
        if precision == "int8":
            model.kv_fp16 = True
            fuse_norms(model, RmsNorm, LayerNorm)
            fuse_feed_forwards(model)
        else:
            # T5's attention is not scaled, so its softmax magnifies the last bits: its own RMS norms stay.
            fuse_norms(model, RmsNorm if architecture is Architecture.DECODER_ONLY else None, LayerNorm)
    fuse_projections(model)
    if precision == "int8":
        labels = model.config.num_labels if architecture is Architecture.CLASSIFIER else None
        replace_linears(model, lambda _, linear: _int8(linear, labels, has_kernels))
    elif has_kernels:
        replace_linears(model, lambda _, linear: NativeLinear(linear))
    elif has_onednn():
        replace_linears(model, lambda _, linear: PackedLinear(linear))
    bypass_call_overhead(model)


def shard(model: Any, where: torch.device, mesh: DeviceMesh) -> None:
    """Keeps this process's part of each layer, by transformers' tensor-parallel plan, and moves it to the device.

    On a CPU in fp32 this checks the C kernels, which attention then uses. Raises ``ConfigurationError`` where
    transformers has no such plan for the model, or is too old for one.
    """
    if where.type != "cpu":
        fuse_norms(model, TorchRmsNorm)
    elif model.dtype == torch.float32:
        check_kernels()
    try:
        from transformers.distributed.configuration_utils import DistributedConfig
        from transformers.distributed.tensor_parallel import apply_tensor_parallelism

        plan, *_ = model._resolve_parallel_plans(DistributedConfig(tp_size=mesh.size(), tp_plan="auto"))
    except (ImportError, AttributeError):
        raise ConfigurationError("splitting a model over several devices needs transformers 5.23 or later") from None
    if not plan:
        raise ConfigurationError("transformers has no tensor-parallel plan for this model: it cannot be split")
    _untie(model)
    apply_tensor_parallelism(model, mesh, plan)
    model.to(where)


def _untie(model: nn.Module) -> None:
    """Copies shared weights, so that each layer has its own: tied layers are sharded in different ways."""
    known = dict(model.named_parameters())
    for name, weights in list(model.named_parameters(remove_duplicate=False)):
        if name not in known:
            path, _, own = name.rpartition(".")
            setattr(model.get_submodule(path), own, nn.Parameter(weights.detach().clone(), requires_grad=False))


def _int8(linear: nn.Linear, labels: int | None, has_kernels: bool) -> nn.Module:
    """The int8 layer for ``linear``. A classifier's last layer, of ``labels`` outputs, stays in fp32.

    That layer is small, and its rounding errors would go straight into the scores.
    """
    if linear.out_features == labels:
        return RowwiseLinear(linear)
    return NativeInt8Linear(linear) if has_kernels else RowInt8Linear(linear)
