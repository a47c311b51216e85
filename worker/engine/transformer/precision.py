"""Which arithmetic a model runs in, and putting it there.

On the CPU: ``int8`` rows for every linear layer, ``none`` for exact fp32 through oneDNN, ``bf16``. On a GPU int8 is
not implemented, and bf16 takes its place.
"""

import logging
from typing import Any, Literal

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from lengthwise.errors import ConfigurationError
from worker.engine.protocol import Architecture
from worker.engine.transformer.layers.fused_projections import fuse_projections
from worker.engine.transformer.layers.head import fold_logits_bias
from worker.engine.transformer.layers.linear import (
    PackedLinear,
    RowInt8Linear,
    RowwiseLinear,
    has_int8,
    has_onednn,
    replace_linears,
)
from worker.engine.transformer.layers.norm import TorchRmsNorm, fuse_norms
from worker.engine.transformer.layers.shortcuts import bypass_call_overhead
from worker.engine.transformer.native.exact import NativeLinear
from worker.engine.transformer.native.fused import LayerNorm, RmsNorm, fuse_feed_forwards
from worker.engine.transformer.native.library import usable_kernels
from worker.engine.transformer.native.linear import NativeInt8Linear
from worker.engine.transformer.native.rotary import fuse_rotary_embeddings

log = logging.getLogger(__name__)

Precision = Literal["int8", "bf16", "none"]


def device(name: str) -> torch.device:
    """``auto`` is the GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def supported_precision(asked: Precision, where: torch.device, fits: bool) -> Precision:
    """What is asked for, or the nearest that this machine and model can do; a line in the log says so."""
    if asked != "int8":
        return asked
    if where.type != "cpu":
        log.warning("int8 is for the CPU: running in bf16 on %s", where.type)
        return "bf16"
    if not fits or not has_int8():
        log.warning("int8 is not possible for this %s: running in fp32", "machine" if fits else "architecture")
        return "none"
    return "int8"


def apply(model: Any, precision: Precision, where: torch.device, architecture: Architecture) -> None:
    """Moves the model and replaces its linear layers, in place. The weights replaced are freed."""
    if where.type != "cpu":
        fuse_norms(model, TorchRmsNorm)
        fuse_projections(model)
    model.to(where)
    if where.type != "cpu" or precision == "bf16":
        return
    fold_logits_bias(model)
    if usable_kernels() is not None:
        fuse_rotary_embeddings(model)
        if precision == "int8":
            model.kv_fp16 = True
            fuse_norms(model, RmsNorm, LayerNorm)
            fuse_feed_forwards(model)
        else:
            # T5's root mean squares, of unscaled attention, make much of the last bit.
            fuse_norms(model, RmsNorm if architecture is Architecture.DECODER_ONLY else None, LayerNorm)
    fuse_projections(model)
    if precision == "int8":
        heads = model.config.num_labels if architecture is Architecture.CLASSIFIER else None
        replace_linears(model, lambda _, linear: _int8(linear, heads))
    elif usable_kernels() is not None:
        replace_linears(model, lambda _, linear: NativeLinear(linear))
    elif has_onednn():
        replace_linears(model, lambda _, linear: PackedLinear(linear))
    bypass_call_overhead(model)


def shard(model: Any, where: torch.device, mesh: DeviceMesh) -> None:
    """Leaves this process its part of each layer, as transformers plans it, and moves that.

    Raises ``ConfigurationError`` where transformers has no plan for the model.
    """
    if where.type != "cpu":
        fuse_norms(model, TorchRmsNorm)
    try:
        from transformers.distributed.configuration_utils import DistributedConfig
        from transformers.distributed.tensor_parallel import apply_tensor_parallelism

        plan, *_ = model._resolve_parallel_plans(DistributedConfig(tp_size=mesh.size(), tp_plan="auto"))
    except (ImportError, AttributeError):
        raise ConfigurationError("a model on several devices needs transformers 5.23 or later") from None
    if not plan:
        raise ConfigurationError("transformers has no plan by which this model could be split")
    _untie(model)
    apply_tensor_parallelism(model, mesh, plan)
    model.to(where)


def _untie(model: nn.Module) -> None:
    """Each layer gets weights of its own: those that share them are split in different ways."""
    known = dict(model.named_parameters())
    for name, weights in list(model.named_parameters(remove_duplicate=False)):
        if name not in known:
            path, _, own = name.rpartition(".")
            setattr(model.get_submodule(path), own, nn.Parameter(weights.detach().clone(), requires_grad=False))


def _int8(linear: nn.Linear, labels: int | None) -> nn.Module:
    """A classifier's last layer is small and its errors go straight into the scores: it stays exact."""
    if linear.out_features == labels:
        return RowwiseLinear(linear)
    return RowInt8Linear(linear) if usable_kernels() is None else NativeInt8Linear(linear)
