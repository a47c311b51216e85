"""Reads the weights of all-MiniLM-L6-v2 from its ONNX file, in floating point and under transformers' names.

The file holds matrices in int8. Of linear layers it holds them transposed, and named after a value of its graph.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch

#: What the file calls a matrix in int8, its factors, and the whole model.
_VALUES, _FACTORS, _WITHIN = "_q", "_scale", "inner."
_WEIGHT, _BIAS = ".weight", ".bias"


class GraphNode(Protocol):
    """An operation of an ONNX graph, with the names of what it reads and writes."""

    @property
    def op_type(self) -> str: ...
    @property
    def input(self) -> Iterable[str]: ...
    @property
    def output(self) -> Iterable[str]: ...


def read(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of the file, by name."""
    onnx: Any = import_module("onnx")
    arrays: Any = import_module("onnx.numpy_helper")
    graph = onnx.load(path).graph
    return named(
        dequantized({each.name: torch.tensor(arrays.to_array(each)) for each in graph.initializer}), graph.node
    )


def dequantized(stored: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors in floating point. The factors of a matrix in int8 are for its rows, ``[n, 1]``, or columns."""
    found = {name: values for name, values in stored.items() if not name.endswith((_VALUES, _FACTORS))}
    for name in (each.removesuffix(_VALUES) for each in stored if each.endswith(_VALUES)):
        found[name] = stored[name + _VALUES].float() * stored[name + _FACTORS]
    return found


def named(tensors: Mapping[str, torch.Tensor], nodes: Iterable[GraphNode]) -> dict[str, torch.Tensor]:
    """The tensors by the names of the model. A linear layer's matrix has that of the bias that is added behind it."""
    products: dict[str, str] = {}
    layers: dict[str, str] = {}
    for node in nodes:
        if node.op_type == "MatMul":
            products |= {product: matrix for product in node.output for matrix in node.input if matrix in tensors}
        elif node.op_type == "Add":
            biases = [name for name in node.input if name.endswith(_BIAS) and name in tensors]
            layers |= {products[name]: bias for bias in biases for name in node.input if name in products}
    found = {}
    for name, values in tensors.items():
        if (bias := layers.get(name)) is not None:
            name, values = bias.removesuffix(_BIAS) + _WEIGHT, values.T.contiguous()
        found[name.removeprefix(_WITHIN)] = values
    return found
