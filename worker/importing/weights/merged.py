"""Merges a LoRA adapter into its base model: ``W + scale * B @ A`` (arXiv:2106.09685). Runs in the confined child."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch

from lengthwise.errors import InvalidInput
from lengthwise.models.published.naming import said
from worker.engine.transformer.weights.checkpoint import load_state
from worker.importing.weights.written import write

_A, _B, _EMBEDDING_A, _EMBEDDING_B = ".lora_A.weight", ".lora_B.weight", ".lora_embedding_A", ".lora_embedding_B"
#: What peft puts before a module's name, the outermost first.
_PREFIXES = ("base_model.model.", "base_model.")
#: And within the name of a tensor that is not of low rank, in a module that has such tensors.
_WRAPPED = ".base_layer."
_HEAD = "lm_head.weight"

State = dict[str, torch.Tensor]


def convert(request: bytes, _file: IO[bytes] | None) -> Iterator[bytes]:
    """Merges the files ``adapter`` into the files ``base``, and writes the result into the request's folder.

    Answers whether the output layer is now another than the embedding. Raises ``InvalidInput``.
    """
    given = json.loads(request)
    state = load_state([Path(name) for name in given["base"]])
    adapter = load_state([Path(given["adapter"])])
    had_head = _HEAD in state
    merge(state, adapter, float(given["alpha"]), is_rooted=given["rslora"], is_transposed=given["fan_in_fan_out"])
    write(state, Path(given["folder"]))
    yield json.dumps({"has_new_head": _HEAD in state and not had_head}).encode()


def merge(state: State, adapter: State, alpha: float, *, is_rooted: bool = False, is_transposed: bool = False) -> None:
    """Changes the base model's tensors. ``B @ A``, ``[outputs, rank] @ [rank, inputs]``, is scaled by alpha / rank.

    With ``is_rooted`` by alpha / √rank (arXiv:2312.03732); with ``is_transposed``, the base model's matrices are
    ``[inputs, outputs]``. Tensors without a rank replace those of the base model. Raises ``InvalidInput`` for a tensor
    that has no place there.
    """
    for name, tensor in adapter.items():  # before ranks are added: peft also writes whole tensors of the base model
        if not name.endswith((_A, _B, _EMBEDDING_A, _EMBEDDING_B)):
            _replace(state, name, tensor)
    for name in adapter:
        if name.endswith(_A):
            _add(state, adapter, name, name.removesuffix(_A) + _B, alpha, is_rooted, is_transposed)
        elif name.endswith(_EMBEDDING_A):
            _add(state, adapter, name, name.removesuffix(_EMBEDDING_A) + _EMBEDDING_B, alpha, is_rooted, True)


def _add(
    state: State, adapter: State, name: str, other: str, alpha: float, is_rooted: bool, is_transposed: bool
) -> None:
    if other not in adapter:
        raise InvalidInput(f"the adapter has {said(name)} and no {said(other)}")
    first, second = adapter[name].float(), adapter[other].float()
    place = _place(state, name.rpartition(".lora_")[0] + ".weight")
    weight = state[place]
    if first.ndim != 2 or second.ndim != 2 or first.shape[0] != second.shape[1] or not len(first):
        raise InvalidInput(f"the adapter's {said(name)} and {said(other)} do not fit each other")
    rank = first.shape[0]
    change = (second @ first) * (alpha / (rank**0.5 if is_rooted else rank))
    change = change.T if is_transposed else change
    if change.shape != weight.shape:
        raise InvalidInput(_misfit(place, change, weight))
    state[place] = (weight.float() + change).to(weight.dtype)


def _replace(state: State, name: str, tensor: torch.Tensor) -> None:
    inner = _bare(name)
    if inner == _HEAD and inner not in state:  # the base model's is its embedding
        state[inner] = tensor
        return
    place = _place(state, name)
    if state[place].shape != tensor.shape:
        raise InvalidInput(_misfit(place, tensor, state[place]))
    state[place] = tensor.to(state[place].dtype)


def _place(state: Mapping[str, Any], name: str) -> str:
    """The base model's name for a module of the adapter. Some checkpoints lack the name of the bare model in front."""
    inner = _bare(name)
    if inner in state:
        return inner
    shorter = inner.partition(".")[2]
    longer = [known for known in state if known.endswith(f".{inner}")]
    if shorter in state and not longer:
        return shorter
    if len(longer) == 1:
        return longer[0]
    raise InvalidInput(f"the adapter changes {said(inner)}, which its base model does not have")


def _bare(name: str) -> str:
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix).replace(_WRAPPED, ".")


def _misfit(name: str, tensor: torch.Tensor, weight: torch.Tensor) -> str:
    found, needed = ("×".join(map(str, each.shape)) for each in (tensor, weight))
    return f"the adapter does not fit its base model: {said(name)} is {found} there, and {needed} in the base model"
