"""A model's weights: made by transformers' class for its ``config.json``, random from a seed, in the published form."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import json
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file, save_file

hub: Any = transformers
hub.utils.logging.disable_progress_bar()

#: The names of tensors, as published.
Tensors = dict[str, torch.Tensor]
Change = Callable[[Tensors], Tensors]
#: Writes tensors into a folder.
Form = Callable[[Path, Tensors], None]

_QUERIES_AND_KEYS = ("q_proj", "k_proj", "query", "key", "SelfAttention.q", "SelfAttention.k")
_NORMS_OF_ATTENTION = ("q_norm.weight", "k_norm.weight")
_CROSS_ATTENTION = (".encoder_attn.", ".EncDecAttention.")
#: Marian's and mBART's biases of the vocabulary, and those of DeepSeek's experts.
_TRAINED_BUFFERS = ("final_logits_bias", "e_score_correction_bias")
_SHARP, _SHARPER = 3.0, 2.5
#: How the names of tables end that have a row for each token.
_OF_VOCABULARY = ("embed_tokens.weight", "shared.weight", "lm_head.weight")


def unchanged(tensors: Tensors) -> Tensors:
    return tensors


def with_extra(**extra: torch.Tensor) -> Change:
    """For ``change``: adds tensors that the model does not use. In their names, ``__`` stands for a point."""
    return lambda tensors: tensors | {name.replace("__", "."): tensor.clone() for name, tensor in extra.items()}


class Spread(NamedTuple):
    """How large random weights are: those of embeddings, and the outputs of a layer for inputs of size 1."""

    embedding: float = 0.1
    gain: float = 1.5


_USUAL = Spread()
#: For encoder–decoders, which otherwise repeat one token.
LOUD = Spread(gain=3.0)


def single(folder: Path, tensors: Tensors) -> None:
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def sharded(folder: Path, tensors: Tensors, n_shards: int = 3) -> None:
    names = list(tensors)
    places: dict[str, str] = {}
    for shard in range(n_shards):
        file = f"model-{shard + 1:05d}-of-{n_shards:05d}.safetensors"
        mine = names[shard::n_shards]
        save_file({name: tensors[name] for name in mine}, folder / file, {"format": "pt"})
        places |= dict.fromkeys(mine, file)
    size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def pickled(folder: Path, tensors: Tensors) -> None:
    torch.save(tensors, folder / "pytorch_model.bin")


def twice(folder: Path, tensors: Tensors) -> None:
    """As safetensors, and pickled for older programs."""
    single(folder, tensors)
    pickled(folder, tensors)


def pickled_in_two(folder: Path, tensors: Tensors) -> None:
    names = list(tensors)
    places: dict[str, str] = {}
    for shard in range(2):
        file = f"pytorch_model-{shard + 1:05d}-of-00002.bin"
        torch.save({name: tensors[name] for name in names[shard::2]}, folder / file)
        places |= dict.fromkeys(names[shard::2], file)
    size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def read_single(folder: Path) -> Tensors:
    return load_file(folder / "model.safetensors")


def write(
    config: dict[str, Any],
    form: Form = single,
    *,
    dtype: torch.dtype = torch.float32,
    change: Change = unchanged,
    class_name: str | None = None,
    used: int | None = None,
    spread: Spread = _USUAL,
) -> Callable[[Path], None]:
    """A part of a repository: ``config.json`` as given, and weights for it.

    ``change`` adds, drops or renames tensors. ``class_name`` is transformers' class, if the config names another.
    ``used``: how many rows of the vocabulary's tables have a token. The others are zero, so that none is ever written.
    """

    def part(folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps(config, indent=2))
        tensors = made(folder, class_name or config["architectures"][0], dtype, spread)
        if used is not None:
            for name in tensors:
                if name.endswith(_OF_VOCABULARY):
                    tensors[name][used:] = 0
        form(folder, change(tensors))

    return part


def made(folder: Path, class_name: str, dtype: torch.dtype, spread: Spread) -> Tensors:
    """The tensors of a model with the folder's ``config.json``, by the names under which such models are published."""
    config = hub.AutoConfig.from_pretrained(folder)
    config.quantization_config = None
    del config.quantization_config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(class_name.encode()))
        model = getattr(hub, class_name)(config).eval()
        _fill(model, spread)
    with tempfile.TemporaryDirectory() as place:
        model.to(dtype).save_pretrained(place, max_shard_size="50GB")
        return {name: tensor.clone() for name, tensor in read_single(Path(place)).items()}


def _fill(model: Any, spread: Spread) -> None:
    """Random weights whose answers vary, and change with any part of a long prompt.

    Embeddings are small, since a random model with tied ones otherwise repeats what it reads. Attention is sharp, since
    a mean over many tokens says nothing of any.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if id(parameter) in tables:
                parameter.normal_(0, spread.embedding)
            elif parameter.dim() > 1:
                parameter.normal_(0, _gain(name, spread.gain) / parameter[0].numel() ** 0.5)
            else:
                parameter *= _SHARPER if name.endswith(_NORMS_OF_ATTENTION) else 1
                parameter += torch.randn_like(parameter) * 0.1
        for name, buffer in model.named_buffers():
            if name.endswith(_TRAINED_BUFFERS):
                buffer.normal_(0, 0.3)


def _gain(name: str, usual: float) -> float:
    """How many times larger than its inputs a layer's outputs are."""
    if any(part in name for part in _CROSS_ATTENTION):
        return 1.0
    return _SHARP if any(part in name for part in _QUERIES_AND_KEYS) else usual
