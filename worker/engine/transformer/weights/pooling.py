"""Makes one vector of the vectors of a text's tokens: pools them, and applies the layers behind the pooling."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from lengthwise.errors import ConfigurationError
from lengthwise.models import model_file
from lengthwise.models.pooling import Dense, Pooling

_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Identity": lambda x: x,
    "Tanh": torch.tanh,
    "ReLU": torch.nn.functional.relu,
    "GELU": torch.nn.functional.gelu,
    "SiLU": torch.nn.functional.silu,
    "Sigmoid": torch.sigmoid,
}


class _Layer(NamedTuple):
    weight: torch.Tensor
    bias: torch.Tensor | None
    activation: str

    def applied(self, vector: torch.Tensor) -> torch.Tensor:
        return _ACTIVATIONS[self.activation](torch.nn.functional.linear(vector, self.weight, self.bias))


class VectorHead(NamedTuple):
    """The end of an embedder, in fp32."""

    mode: str = "mean"
    normalizes: bool = False
    layers: tuple[_Layer, ...] = ()

    @classmethod
    def load(cls, folder: Path, size: int | None, device: torch.device) -> Self:
        """Reads what the folder says of it; ``size`` is that of the tokens' vectors, if it is known.

        Raises ``ConfigurationError`` if that cannot be computed, or if weights do not fit.
        """
        pooling = Pooling.read(folder)
        for layer in pooling.layers:
            if size not in (None, layer.inputs):
                raise ConfigurationError(f"{layer.weights}: its layer reads vectors of another size")
            size = layer.outputs
        return cls(pooling.mode, pooling.normalizes, tuple(_read(folder, layer, device) for layer in pooling.layers))

    @property
    def n_bytes(self) -> int:
        """The memory of its layers."""
        tensors = [tensor for layer in self.layers for tensor in (layer.weight, layer.bias) if tensor is not None]
        return sum(tensor.nbytes for tensor in tensors)

    def vector(self, hidden: torch.Tensor) -> torch.Tensor:
        """One text's vector: ``[tokens, size]`` → ``[size]``, fp32."""
        vector = _POOLINGS[self.mode](hidden.float())
        for layer in self.layers:
            vector = layer.applied(vector)
        return torch.nn.functional.normalize(vector, dim=0) if self.normalizes else vector


def _read(folder: Path, layer: Dense, device: torch.device) -> _Layer:
    try:
        state = load(model_file.read(folder, layer.weights))
    except SafetensorError:
        raise ConfigurationError(f"{layer.weights} cannot be read") from None
    expected: dict[str, tuple[int, ...]] = {"linear.weight": (layer.outputs, layer.inputs)}
    if layer.has_bias:
        expected["linear.bias"] = (layer.outputs,)
    if {name: tuple(tensor.shape) for name, tensor in state.items()} != expected:
        raise ConfigurationError(f"{layer.weights} does not fit its config.json")
    tensors = {name: tensor.float().to(device) for name, tensor in state.items()}
    return _Layer(tensors["linear.weight"], tensors.get("linear.bias"), layer.activation)


def _weighted_mean(hidden: torch.Tensor) -> torch.Tensor:
    weights = torch.arange(1, len(hidden) + 1, device=hidden.device, dtype=torch.float32)
    return (hidden * weights[:, None]).sum(dim=0) / weights.sum()


_POOLINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": lambda hidden: hidden.mean(dim=0),
    "cls": lambda hidden: hidden[0],
    "lasttoken": lambda hidden: hidden[-1],
    "max": lambda hidden: hidden.amax(dim=0),
    "mean_sqrt_len_tokens": lambda hidden: hidden.sum(dim=0) / len(hidden) ** 0.5,
    "weightedmean": _weighted_mean,
}
