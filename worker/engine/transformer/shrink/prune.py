"""Prunes a model: drops whole layers, and makes the remaining weights 2:4 sparse.

Layers that stay are evenly spaced, as DistilBERT (arXiv:1910.01108) and "shrink and fine-tune" (arXiv:2010.13002)
choose the layers that their students start from. In 2:4 sparsity, the pattern of sparse tensor cores
(arXiv:2104.08378), two of each four neighbouring weights are zero. Our engine computes such a model densely; only a
runtime that knows the pattern gains speed.

Works on a state dict and a configuration; builds no model.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from lengthwise.errors import ConfigurationError

StateDict = dict[str, torch.Tensor]

#: Matrices within layers that are looked up, not multiplied.
_TABLES = ("relative_attention_bias.weight",)


class LayerStack(NamedTuple):
    """A stack of layers: the name that a user gives it, and the field of ``config.json`` that counts its layers."""

    name: str
    field: str


_PAIR = (LayerStack("encoder", "encoder_layers"), LayerStack("decoder", "decoder_layers"))
_ONE = (LayerStack("layers", "num_hidden_layers"),)
#: The stacks of each ``model_type`` that can be pruned.
_STACKS: dict[str, tuple[LayerStack, ...]] = {
    **dict.fromkeys(("marian", "m2m_100", "bart", "mbart"), _PAIR),
    **dict.fromkeys(("t5", "mt5"), (LayerStack("encoder", "num_layers"), LayerStack("decoder", "num_decoder_layers"))),
    **dict.fromkeys(("bert", "camembert", "electra", "roberta", "xlm-roberta"), _ONE),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral", "olmo2", "phi3"), _ONE),
    **dict.fromkeys(("qwen2", "qwen3", "smollm3", "starcoder2"), _ONE),
    "distilbert": (LayerStack("layers", "n_layers"),),
}
#: A tensor's name: the text before the layer's number, the number, and the rest. Later numbers count parts of a layer
#: (T5).
_NUMBERED = re.compile(r"(.*?\.)(\d+)(\..*)")


def layer_stacks(config: Mapping[str, Any]) -> tuple[LayerStack, ...]:
    """The stacks of a model. Raises ``ConfigurationError`` if this module does not know its architecture."""
    kind = str(config.get("model_type"))
    if kind not in _STACKS:
        raise ConfigurationError(f"the layers of {kind!r} are not known here; known: {', '.join(sorted(_STACKS))}")
    return _STACKS[kind]


def layers_to_keep(config: Mapping[str, Any], state: StateDict, wanted: Mapping[str, int]) -> dict[str, list[int]]:
    """The numbers of the layers that stay, by stack.

    ``wanted`` says how many layers each stack keeps, or all stacks under an empty name. Raises ``ConfigurationError``
    for a stack that the model lacks, and for more layers than it has.
    """
    known = layer_stacks(config)
    names = [stack.name for stack in known]
    if strange := [name for name in wanted if name and name not in names]:
        raise ConfigurationError(f"the model has no {strange[0]} to drop layers of, only {' and '.join(names)}")
    found = {}
    for name in names:
        total = 1 + max((place[1] for key in state if (place := _place(key, known)) and place[0] == name), default=-1)
        number = wanted.get(name, wanted.get("", total))
        if not 1 <= number <= total:
            what = "layers" if name == "layers" else f"{name} layers"
            raise ConfigurationError(f"cannot keep {number} {what}: the model has {total}, and 1 must stay")
        found[name] = evenly_spaced(total, number)
    return found


def evenly_spaced(total: int, number: int) -> list[int]:
    """Chooses ``number`` of ``total`` layers, spaced as evenly as possible, with the first and the last among them.

    A single layer is the first: there T5 stores the position biases of all layers.
    """
    if number == 1:
        return [0]
    gaps = number - 1
    return [(2 * place * (total - 1) + gaps) // (2 * gaps) for place in range(number)]


def drop_layers(
    config: Mapping[str, Any], state: StateDict, keep: Mapping[str, Sequence[int]]
) -> tuple[dict[str, Any], StateDict]:
    """The configuration and the tensors of a model with only the layers of ``keep``, which are renumbered."""
    known = layer_stacks(config)
    changed = dict(config)
    for stack in known:
        changed[stack.field] = len(keep[stack.name])
    if known is _PAIR and "num_hidden_layers" in config:
        changed["num_hidden_layers"] = len(keep["encoder"])
    if isinstance(types := config.get("layer_types"), list):
        changed["layer_types"] = [types[number] for number in keep["layers"]]
    left: StateDict = {}
    for key, tensor in state.items():
        place = _place(key, known)
        if place is None:
            left[key] = tensor
        elif place[1] in keep[place[0]]:
            number = keep[place[0]].index(place[1])
            left[_NUMBERED.sub(rf"\g<1>{number}\g<3>", key, count=1)] = tensor
    return changed, left


def _place(key: str, known: Sequence[LayerStack]) -> tuple[str, int] | None:
    """The stack and the layer number of the tensor with this name; ``None`` if it is in no layer."""
    found = _NUMBERED.fullmatch(key)
    if found is None:
        return None
    if len(known) == 1:
        return known[0].name, int(found[2])
    return ("decoder" if "decoder" in found[1].split(".") else "encoder"), int(found[2])


def sparsify(state: StateDict) -> StateDict:
    """The same tensors, with 2:4 sparse linear layers inside the model's layers. Embeddings and heads stay dense."""
    return {key: two_of_four(tensor) if _is_linear(key, tensor) else tensor for key, tensor in state.items()}


def two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """Zeroes the two smallest of each four neighbouring inputs, ``[outputs, inputs]`` → the same shape.

    Of weights of equal magnitude the later ones stay; all weights that stay are unchanged.
    """
    groups = weight.reshape(len(weight), -1, 4)
    smallest = groups.float().abs().argsort(dim=-1, stable=True)[..., :2]
    return groups.scatter(-1, smallest, 0.0).reshape(weight.shape)


def _is_linear(key: str, tensor: torch.Tensor) -> bool:
    is_in_a_layer = _NUMBERED.fullmatch(key) is not None
    return is_in_a_layer and tensor.ndim == 2 and tensor.shape[1] % 4 == 0 and not key.endswith(_TABLES)
