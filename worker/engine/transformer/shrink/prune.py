"""Drops whole layers of a model, evenly spaced, as DistilBERT (arXiv:1910.01108) and "shrink and fine-tune"
(arXiv:2010.13002) choose the layers that their students start from.

Works on a state dict and a configuration; builds no model.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from lengthwise.errors import ConfigurationError

StateDict = dict[str, torch.Tensor]


class LayerStack(NamedTuple):
    """Layers one upon another, by the name that they are asked for with and the field that counts them."""

    name: str
    field: str


_PAIR = (LayerStack("encoder", "encoder_layers"), LayerStack("decoder", "decoder_layers"))
_ONE = (LayerStack("layers", "num_hidden_layers"),)
#: By ``model_type``: the architectures whose stacks are known.
_STACKS: dict[str, tuple[LayerStack, ...]] = {
    **dict.fromkeys(("marian", "m2m_100", "bart", "mbart"), _PAIR),
    **dict.fromkeys(("t5", "mt5"), (LayerStack("encoder", "num_layers"), LayerStack("decoder", "num_decoder_layers"))),
    **dict.fromkeys(("bert", "camembert", "electra", "roberta", "xlm-roberta"), _ONE),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral", "olmo2", "phi3"), _ONE),
    **dict.fromkeys(("qwen2", "qwen3", "smollm3", "starcoder2"), _ONE),
    "distilbert": (LayerStack("layers", "n_layers"),),
}
#: What stands before a layer's number in a tensor's name, the number, and what stands behind it. Numbers further
#: behind are of parts of a layer (T5).
_NUMBERED = re.compile(r"(.*?\.)(\d+)(\..*)")


def layer_stacks(config: Mapping[str, Any]) -> tuple[LayerStack, ...]:
    """The stacks of a model. Raises ``ConfigurationError`` for an architecture that is not known."""
    kind = str(config.get("model_type"))
    if kind not in _STACKS:
        raise ConfigurationError(f"the layers of {kind!r} are not known here; known: {', '.join(sorted(_STACKS))}")
    return _STACKS[kind]


def layers_to_keep(config: Mapping[str, Any], state: StateDict, wanted: Mapping[str, int]) -> dict[str, list[int]]:
    """Which layers stay, by stack. ``wanted`` has numbers by stack's name, or one for all under an empty name.

    Raises ``ConfigurationError`` for a stack that the model lacks, and for more layers than it has.
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
    """``number`` of ``total`` layers, the first and the last among them, as far from each other as can be.

    The first always stays: T5 keeps there the position biases of all layers.
    """
    if number == 1:
        return [0]
    gaps = number - 1
    return [(2 * place * (total - 1) + gaps) // (2 * gaps) for place in range(number)]


def drop_layers(
    config: Mapping[str, Any], state: StateDict, keep: Mapping[str, Sequence[int]]
) -> tuple[dict[str, Any], StateDict]:
    """The configuration and the tensors of a model of these layers alone, numbered anew."""
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


def is_in_a_layer(key: str) -> bool:
    return _NUMBERED.fullmatch(key) is not None


def _place(key: str, known: Sequence[LayerStack]) -> tuple[str, int] | None:
    """The stack and the number of the layer that this tensor belongs to, if it belongs to one."""
    found = _NUMBERED.fullmatch(key)
    if found is None:
        return None
    if len(known) == 1:
        return known[0].name, int(found[2])
    return ("decoder" if "decoder" in found[1].split(".") else "encoder"), int(found[2])
