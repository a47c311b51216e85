"""Repositories that cannot be served: of other kinds, damaged, or with code of their own."""

import json
from pathlib import Path
from typing import Any

import torch

from tests.published.families import qwen
from tests.published.families.classification import labelled
from tests.published.families.embedding import BERT
from tests.published.forms import card, weights
from tests.published.forms.wordpiece import WordPiece
from tests.published.published import Part, Published

_CASED = WordPiece(lowers=False, has_json=False, config={"model_max_length": 512})
_UNCASED = WordPiece(config={"tokenizer_class": "BertTokenizer"})
_WHISPER = {
    "architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", "d_model": 64, "encoder_layers": 1,
    "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "num_mel_bins": 80, "max_source_positions": 100, "max_target_positions": 64,
    "is_encoder_decoder": True, "vocab_size": qwen.QWEN2.size, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
    "decoder_start_token_id": 1, "suppress_tokens": None, "begin_suppress_tokens": None,
}  # fmt: skip
_VIT = {
    "architectures": ["ViTForImageClassification"], "model_type": "vit", "hidden_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 64, "image_size": 32, "patch_size": 16, "num_channels": 3,
    "hidden_act": "gelu", "layer_norm_eps": 1e-12, "qkv_bias": True, **labelled("tench", "goldfish"),
}  # fmt: skip
_NER = BERT | {"architectures": ["BertForTokenClassification"], "vocab_size": _CASED.size} | labelled(
    "O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"
)  # fmt: skip
_RERANKER = (
    BERT | {"architectures": ["BertForSequenceClassification"], "vocab_size": _UNCASED.size} | labelled("LABEL_0")
)
_INFERENCE = BERT | {"architectures": ["BertForSequenceClassification"], "vocab_size": _UNCASED.size} | labelled(
    "entailment", "neutral", "contradiction"
)  # fmt: skip
_MASKED = BERT | {"architectures": ["BertForMaskedLM"], "vocab_size": _UNCASED.size}
_TOXIC = BERT | {"architectures": ["BertForSequenceClassification"], "vocab_size": _UNCASED.size} | labelled(
    "neutral", "toxic"
)  # fmt: skip

#: Exists once a pickle's code has run in this process's working folder.
CANARY = "code-of-a-pickle-ran"


class Code:
    """Unpickled, it writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({CANARY!r}, 'w').close()",))


def _with_code(folder: Path) -> None:
    """Pickled weights that run code as they are read."""
    torch.save({"bert.embeddings.word_embeddings.weight": Code()}, folder / "pytorch_model.bin")


def _config_only(config: dict[str, Any]) -> Part:
    return card.json_file("config.json", config)


_BAICHUAN = {
    "architectures": ["BaichuanForCausalLM"], "model_type": "baichuan",
    "auto_map": {
        "AutoConfig": "configuration_baichuan.BaichuanConfig",
        "AutoModelForCausalLM": "modeling_baichuan.BaichuanForCausalLM",
    },
    "tokenizer_class": "BaichuanTokenizer", "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
    "hidden_size": 128, "intermediate_size": 256, "max_position_embeddings": 4096, "model_max_length": 4096,
    "num_attention_heads": 4, "num_hidden_layers": 2, "pad_token_id": 0, "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": qwen.QWEN3.size,
}  # fmt: skip


def _baichuan_weights(folder: Path) -> None:
    weights.pickled(folder, {"model.embed_tokens.weight": torch.zeros(qwen.QWEN3.size, 128)})
    for name in ("configuration_baichuan.py", "modeling_baichuan.py"):
        (folder / name).write_text('raise RuntimeError("code of a model was run")\n')


def _fewer_rows(folder: Path) -> None:
    """A table of embeddings with fewer rows than the tokenizer has tokens."""
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] = 100
    weights.write(config)(folder)


def _without_first_layer(tensors: weights.Tensors) -> weights.Tensors:
    return {name: tensor for name, tensor in tensors.items() if "layer.0.output" not in name}


def _refused(name: str, reason: str, *parts: Part, licence: str = "apache-2.0", loads: bool = False) -> Published:
    return Published(name, licence, (), parts, refused_for=reason, loads=loads)


REPOSITORIES = (
    _refused("openai/whisper-tiny", "sound", qwen.QWEN2, weights.write(_WHISPER)),
    _refused(
        "google/vit-base-patch16-224", "images", weights.write(_VIT),
        card.json_file("preprocessor_config.json", {"image_processor_type": "ViTImageProcessor", "size": 32}),
    ),
    _refused("dslim/bert-base-NER", "labels single words", _CASED, weights.write(_NER, weights.twice), licence="mit"),
    _refused("cross-encoder/ms-marco-MiniLM-L6-v2", "reranker", _UNCASED, weights.write(_RERANKER)),
    _refused("cross-encoder/nli-MiniLM2-L6-H768", "natural language inference", _UNCASED, weights.write(_INFERENCE)),
    _refused("google-bert/bert-base-uncased", "fills in masked words", _UNCASED, weights.write(_MASKED, weights.twice)),
    _refused("baichuan-inc/Baichuan2-7B-Chat", "its own code", qwen.QWEN3, _config_only(_BAICHUAN), _baichuan_weights),
    # The names of these are made up: damage has no well-known repository.
    _refused("example/pickle-with-code", "holds code", _UNCASED, _config_only(_TOXIC), _with_code),
    _refused("example/tokenizer-too-large", "tokenizer", _UNCASED, _config_only(_TOXIC), _fewer_rows),
    _refused("example/layer-missing", "missing", _UNCASED, weights.write(_TOXIC, change=_without_first_layer)),
    _refused("example/no-weights", "weights", _UNCASED, _config_only(_TOXIC)),
    _refused("example/no-config", "config.json", _UNCASED),
)  # fmt: skip
