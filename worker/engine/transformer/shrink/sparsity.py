"""2:4 structured sparsity by magnitude: of each four neighbouring weights of an output, the two smallest become zero.

The pattern of sparse tensor cores (arXiv:2104.08378). The engine here computes such a model densely: what is gained is
gained by a runtime that knows the pattern.
"""

import torch

from worker.engine.transformer.shrink.prune import StateDict, is_in_a_layer

#: Matrices of a layer that are looked up, not multiplied with.
_TABLES = ("relative_attention_bias.weight",)


def sparsify(state: StateDict) -> StateDict:
    """The same tensors, the linear layers within the model's layers pruned; embeddings and heads stay whole."""
    return {key: two_of_four(tensor) if _is_linear(key, tensor) else tensor for key, tensor in state.items()}


def two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """``[outputs, inputs]`` → the same shape, in which at least two of each four inputs are zero and no other changed.

    Of equals the later ones stay.
    """
    groups = weight.reshape(len(weight), -1, 4)
    smallest = groups.float().abs().argsort(dim=-1, stable=True)[..., :2]
    return groups.scatter(-1, smallest, 0.0).reshape(weight.shape)


def _is_linear(key: str, tensor: torch.Tensor) -> bool:
    return is_in_a_layer(key) and tensor.ndim == 2 and tensor.shape[1] % 4 == 0 and not key.endswith(_TABLES)
