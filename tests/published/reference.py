"""What transformers answers for a published folder, in fp32 if nothing else is said: what ours is compared with.

Vectors are made as sentence-transformers makes them. Everything is greedy, one input at a time.
"""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file

from tests.published.forms import adapter
from tests.published.published import Published

hub: Any = transformers
#: Some repositories ask for samples or beams in ``generation_config.json``.
_GREEDY = {"do_sample": False, "num_beams": 1}


class Written(NamedTuple):
    """The ids that the model read, and those that it wrote, without what the answer has to begin with."""

    prompt: list[int]
    tokens: list[int]
    text: str


def tokenizer(published: Published, folder: Path) -> Any:
    """The tokenizer, slow or fast. An adapter's is its base's: give the base's folder."""
    more = {"gguf_file": published.gguf} if published.gguf else {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")  # Marian's, for punctuation
        return hub.AutoTokenizer.from_pretrained(folder, **more)


def model(published: Published, folder: Path, class_name: str, base: Path | None = None) -> Any:
    """The model in fp32. ``base``: the folder of an adapter's base."""
    return loaded(published, folder, class_name, base)[0]


def loaded(published: Published, folder: Path, class_name: str, base: Path | None = None) -> tuple[Any, dict[str, Any]]:
    """The model, and what transformers says of its weights: ``missing_keys``, ``unexpected_keys`` and others."""
    more: dict[str, Any] = {"gguf_file": published.gguf} if published.gguf else {}
    chosen = getattr(hub, class_name)
    # Quantized weights become those of the precision that the config names; merged ones have that of the base.
    is_rounded = base is not None or "quantization_config" in _config(folder)
    dtype = "auto" if is_rounded else torch.float32
    found, report = chosen.from_pretrained(base or folder, dtype=dtype, output_loading_info=True, **more)
    if base is not None:
        found.load_state_dict(adapter.merged(folder, found.state_dict()))
    if is_rounded:
        found.float()
    return found.eval(), report


def translated(published: Published, folder: Path, texts: Sequence[str], max_new_tokens: int = 16) -> list[Written]:
    """Translations in the repository's direction."""
    direction = published.direction
    assert direction is not None
    own, network = tokenizer(published, folder), model(published, folder, "AutoModelForSeq2SeqLM")
    more: dict[str, Any] = {}
    if direction.needs_codes:
        own.src_lang = direction.source
        is_m2m = hasattr(own, "get_lang_token")  # which writes its languages as ``__de__``
        target = own.get_lang_token(direction.target) if is_m2m else direction.target
        more["forced_bos_token_id"] = own.convert_tokens_to_ids(target)
    prompts = [own(direction.text_prefix + text).input_ids for text in texts]
    n_forced = len(more)
    n_new = max_new_tokens + n_forced  # transformers counts the forced token
    return [_written(own, network, prompt, 1 + n_forced, n_new, more) for prompt in prompts]


def continued(
    published: Published, folder: Path, texts: Sequence[str], max_new_tokens: int = 16, base: Path | None = None
) -> list[Written]:
    """Continuations of texts by decoders, and what encoder-decoders answer to them."""
    is_read_apart = bool(_config(base or folder).get("is_encoder_decoder"))
    class_name = "AutoModelForSeq2SeqLM" if is_read_apart else "AutoModelForCausalLM"
    own, network = tokenizer(published, base or folder), model(published, folder, class_name, base)
    return [
        _written(own, network, prompt, 1 if is_read_apart else len(prompt), max_new_tokens)
        for prompt in map(_ids(own), texts)
    ]


def answered(
    published: Published,
    folder: Path,
    conversations: Sequence[Sequence[dict[str, str]]],
    max_new_tokens: int = 16,
    base: Path | None = None,
    **template: Any,
) -> list[Written]:
    """Answers to conversations; ``template`` are further variables of the chat template."""
    own, network = tokenizer(published, base or folder), model(published, folder, "AutoModelForCausalLM", base)
    prompts = [prompt_ids(own, each, **template) for each in conversations]
    return [_written(own, network, prompt, len(prompt), max_new_tokens) for prompt in prompts]


def prompt_ids(own: Any, conversation: Sequence[dict[str, str]], **template: Any) -> list[int]:
    """The ids of a conversation by the model's own template, up to the answer."""
    found = own.apply_chat_template(
        list(conversation), add_generation_prompt=True, tokenize=True, return_dict=True, **template
    )
    return [int(token) for token in found["input_ids"]]


def scores(published: Published, folder: Path, texts: Sequence[str]) -> list[dict[str, float]]:
    """The probability of each label: sigmoids if labels are independent, otherwise a softmax."""
    own, network = tokenizer(published, folder), model(published, folder, "AutoModelForSequenceClassification")
    is_independent = network.config.problem_type == "multi_label_classification" or network.config.num_labels == 1
    found = []
    for text in texts:
        with torch.inference_mode():
            [logits] = network(**own(text, return_tensors="pt", truncation=True)).logits
        each = logits.sigmoid() if is_independent else logits.softmax(-1)
        found.append({network.config.id2label[place]: float(score) for place, score in enumerate(each)})
    return found


def vectors(
    published: Published, folder: Path, texts: Sequence[str], dtype: torch.dtype = torch.float32
) -> list[list[float]]:
    """Vectors of texts, by the modules that the folder lists, computed in ``dtype``. No prompt is put in front."""
    own, network = tokenizer(published, folder), model(published, folder, "AutoModel").to(dtype)
    longest = _max_seq_length(folder, own)
    found = []
    for text in texts:
        ids = own(text, return_tensors="pt", truncation=True, max_length=longest)
        with torch.inference_mode():
            vector = network(**ids).last_hidden_state[0]
            for module in json.loads((folder / "modules.json").read_text())[1:]:
                vector = _applied(folder / module["path"], module["type"].rpartition(".")[2], vector)
        found.append([float(value) for value in vector])
    return found


def _applied(place: Path, kind: str, vector: torch.Tensor) -> torch.Tensor:
    """One module of sentence-transformers; pooling takes all vectors of a text."""
    if kind == "Normalize":
        return torch.nn.functional.normalize(vector, dim=-1)
    config = json.loads((place / "config.json").read_text())
    if kind == "Dense":
        assert config["activation_function"].endswith("Identity") and not config["bias"]
        return vector @ load_file(place / "model.safetensors")["linear.weight"].to(vector.dtype).T
    assert kind == "Pooling"
    [mode] = [name for name, is_on in config.items() if name.startswith("pooling_mode_") and is_on]
    pools = {"mean_tokens": vector.mean(0), "cls_token": vector[0], "lasttoken": vector[-1]}
    return pools[mode.removeprefix("pooling_mode_")]


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}  # a GGUF file has its own
    return found


def _max_seq_length(folder: Path, own: Any) -> int:
    path = folder / "sentence_bert_config.json"
    found = json.loads(path.read_text())["max_seq_length"] if path.exists() else own.model_max_length
    return min(int(found), 8192)


def _ids(own: Any) -> Any:
    return lambda text: own(text).input_ids


def _written(
    own: Any, network: Any, prompt: list[int], n_begun: int, max_new_tokens: int, more: dict[str, Any] | None = None
) -> Written:
    """``n_begun``: ids of the output that the model has not chosen."""
    with torch.inference_mode():
        [output] = network.generate(torch.tensor([prompt]), max_new_tokens=max_new_tokens, **_GREEDY, **(more or {}))
    tokens = [int(token) for token in output[n_begun:]]
    return Written(prompt, tokens, own.decode(tokens, skip_special_tokens=True))
