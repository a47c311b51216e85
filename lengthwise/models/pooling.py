"""How the vectors of a text's tokens become one vector, as sentence-transformers' files in the folder say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from lengthwise.errors import ConfigurationError
from lengthwise.models import model_file

MODULES, _POOLING = model_file.MODULES, "1_Pooling/config.json"

#: The poolings, under the names and the flags by which the file asks for them.
_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
#: The functions that may follow a linear layer: torch's classes, whose last names the file gives behind ``torch.nn.``.
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
_TORCH = "torch.nn."

_Size = Annotated[int, Field(ge=1, le=1 << 16)]


class _DenseShape(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    in_features: _Size
    out_features: _Size
    bias: bool = True
    activation_function: str = "torch.nn.modules.activation.Tanh"
    use_residual: Literal[False] = False
    module_input_name: Literal["sentence_embedding"] = "sentence_embedding"


class Dense(NamedTuple):
    """A linear layer behind the pooling: ``[inputs]`` → ``[outputs]``, then one of ``ACTIVATIONS``."""

    #: Its weights, as a safetensors file of the model's folder.
    weights: str
    inputs: int
    outputs: int
    has_bias: bool
    activation: str

    @classmethod
    def read(cls, folder: Path, name: str) -> Self:
        """The layer in the folder ``name`` of the model's. Raises ``ConfigurationError``."""
        path = f"{name}/config.json"
        if path not in model_file.VECTOR_FILES:
            raise ConfigurationError(f"{MODULES} asks for more layers behind the pooling than three")
        found = model_file.checked(model_file.read_json(folder, path, dict), _DenseShape, path)
        activation = found.activation_function.rpartition(".")[2]
        if not found.activation_function.startswith(_TORCH) or activation not in ACTIVATIONS:
            raise ConfigurationError(f"{path} asks for an activation function other than {', '.join(ACTIVATIONS)}")
        return cls(f"{name}/model.safetensors", found.in_features, found.out_features, found.bias, activation)


@dataclass(frozen=True, slots=True)
class Pooling:
    """How the vectors of all tokens, special ones included, become one vector.

    ``mean`` averages them, ``weightedmean`` with the weights 1, 2, 3, …; ``mean_sqrt_len_tokens`` divides their sum by
    the square root of their number; ``max`` takes the greatest of each component, ``cls`` the first token and
    ``lasttoken`` the last one. Then the layers follow. ``normalizes``: in the end to length 1.
    """

    mode: str = "mean"
    normalizes: bool = False
    layers: tuple[Dense, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the files; without them it is the mean. Raises ``ConfigurationError`` for unsupported settings."""
        if not (folder / MODULES).is_file():
            return cls()
        modules = model_file.read_json(folder, MODULES, list)
        types = [_type(module) for module in modules]
        normalizes = types[-1:] == ["Normalize"]
        layers = types[2 : -1 if normalizes else None]
        if types[:2] != ["Transformer", "Pooling"] or set(layers) - {"Dense"}:
            raise ConfigurationError(f"{MODULES} asks for more than a pooling, linear layers and normalizing")
        dense = [_place(module, index) for index, module in enumerate(modules) if _type(module) == "Dense"]
        return cls(_mode(folder), normalizes, tuple(Dense.read(folder, name) for name in dense))


def _type(module: Any) -> str:
    """The last part of a module's type, such as ``Pooling``."""
    return str(module.get("type")).rpartition(".")[2] if isinstance(module, dict) else ""


def _place(module: dict[str, Any], index: int) -> str:
    """The folder of a linear layer. Raises ``ConfigurationError`` unless it is called as sentence-transformers does."""
    name = f"{index}_Dense"
    if module.get("path") != name:
        raise ConfigurationError(f"{MODULES} names a folder other than {name}")
    return name


def _mode(folder: Path) -> str:
    """The mode, which the file gives by name or as a flag. Raises ``ConfigurationError`` unless it is a known one."""
    config = model_file.read_json(folder, _POOLING, dict)
    modes = [config["pooling_mode"]] if "pooling_mode" in config else []
    modes += [_FLAGS.get(name) for name in config if name.startswith("pooling_mode_") and config[name] is True]
    if len(modes) != 1 or modes[0] not in list(_FLAGS.values()):
        raise ConfigurationError(f"{_POOLING} asks for something other than one of {', '.join(_FLAGS.values())}")
    if config.get("include_prompt") is False:
        raise ConfigurationError(f"{_POOLING} asks for a pooling without the prompt's tokens (include_prompt)")
    return str(modes[0])
