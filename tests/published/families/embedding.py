"""Embedding models with the files of sentence-transformers."""

from pathlib import Path
from typing import Any

import torch

from tests.published.families.sizes import ENCODER
from tests.published.forms import card, piece_files, sentence_pieces, texts, weights
from tests.published.forms.wordpiece import WordPiece
from tests.published.published import EMBEDS, Part, Published

_MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


def modules(*kinds: tuple[str, str]) -> Part:
    found = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate((("Transformer", ""), *kinds))
    ]
    return card.json_file("modules.json", found)


def pooling(mode: str, size: int) -> Part:
    flags = {f"pooling_mode_{each}": each == mode for each in _MODES}
    return card.json_file(
        "1_Pooling/config.json", {"word_embedding_dimension": size} | flags | {"include_prompt": True}
    )


def _sentence(mode: str, size: int, longest: int, *, normalizes: bool = True, lowers: bool = False) -> tuple[Part, ...]:
    """The files of a model that pools and, usually, normalizes."""
    end = (("Normalize", "2_Normalize"),) if normalizes else ()
    return (
        modules(("Pooling", "1_Pooling"), *end),
        pooling(mode, size),
        card.json_file("sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": lowers}),
        card.json_file("config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.0.0"}}),
    )


_UNCASED = WordPiece(config={
    "cls_token": "[CLS]", "mask_token": "[MASK]", "model_max_length": 512, "pad_token": "[PAD]", "sep_token": "[SEP]",
    "strip_accents": None, "tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer", "unk_token": "[UNK]",
})  # fmt: skip
BERT: dict[str, Any] = {
    "architectures": ["BertModel"], "model_type": "bert", **ENCODER, "gradient_checkpointing": False,
    "hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "pad_token_id": 0,
    "position_embedding_type": "absolute", "type_vocab_size": 2, "use_cache": True, "vocab_size": _UNCASED.size,
}  # fmt: skip

_PIECES = 400
XLM_SPECIAL = {
    "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>", "pad_token": "<pad>",
    "sep_token": "</s>", "unk_token": "<unk>",
}  # fmt: skip


def xlm_pieces() -> bytes:
    return sentence_pieces.train(texts.EVERY, _PIECES)


def xlm_size() -> int:
    return len(sentence_pieces.pieces(xlm_pieces())) + 2  # <pad> and <mask>


def _xlm_tokenizer(folder: Path) -> None:
    (folder / "sentencepiece.bpe.model").write_bytes(xlm_pieces())
    piece_files.write_xlm_roberta(folder, xlm_pieces())
    more = {"model_max_length": 8192, "tokenizer_class": "XLMRobertaTokenizer", "clean_up_tokenization_spaces": True}
    card.json_file("tokenizer_config.json", XLM_SPECIAL | more)(folder)
    card.json_file("special_tokens_map.json", XLM_SPECIAL)(folder)


_XLM = {
    "architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", **ENCODER, "bos_token_id": 0,
    "eos_token_id": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-05, "max_position_embeddings": 514,
    "output_past": True, "pad_token_id": 1, "position_embedding_type": "absolute", "type_vocab_size": 1,
    "use_cache": True, "vocab_size": xlm_size(),
}  # fmt: skip


def _bge_m3_heads(folder: Path) -> None:
    """Two more pickles, for vectors of words and of several parts."""
    for name, size in (("colbert_linear.pt", 64), ("sparse_linear.pt", 1)):
        torch.save({"weight": torch.zeros(size, 64), "bias": torch.zeros(size)}, folder / name)


_MPNET_TOKENIZER = WordPiece(
    first=("<s>", "<pad>", "</s>", "<unk>", "[UNK]"), last=("<mask>",), around=("<s>", "</s>"),
    config={"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>", "pad_token": "<pad>",
            "model_max_length": 512, "sep_token": "</s>", "tokenizer_class": "MPNetTokenizer", "unk_token": "[UNK]"},
)  # fmt: skip
_MPNET = {
    "architectures": ["MPNetForMaskedLM"], "model_type": "mpnet", **ENCODER, "bos_token_id": 0, "eos_token_id": 2,
    "hidden_act": "gelu", "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "pad_token_id": 1,
    "relative_attention_num_buckets": 32, "vocab_size": _MPNET_TOKENIZER.size,
}  # fmt: skip

_NOMIC = {
    "architectures": ["NomicBertModel"], "model_type": "nomic_bert", **ENCODER, "activation_function": "swiglu",
    "auto_map": {
        "AutoConfig": "nomic-ai/nomic-bert-2048--configuration_hf_nomic_bert.NomicBertConfig",
        "AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel",
    },
    "causal": False, "hidden_act": "silu", "layer_norm_eps": 1e-12, "max_position_embeddings": 2048,
    "n_embd": 64, "n_head": 2, "n_inner": 128, "n_layer": 2, "n_positions": 8192, "pad_token_id": 0, "prenorm": False,
    "qkv_proj_bias": False, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "type_vocab_size": 2,
    "use_rms_norm": False, "vocab_size": _UNCASED.size, "rope_parameters": {"rope_type": "default", "rope_theta": 1000},
}  # fmt: skip


def _without_pooler(tensors: weights.Tensors) -> weights.Tensors:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")}


_E5 = BERT | {"vocab_size": xlm_size(), "tokenizer_class": "XLMRobertaTokenizer"}
REPOSITORIES = (
    Published(
        "sentence-transformers/all-MiniLM-L6-v2", "apache-2.0", EMBEDS,
        (_UNCASED, *_sentence("mean_tokens", 64, 256), weights.write(BERT, weights.twice)),
    ),
    Published(
        "BAAI/bge-small-en-v1.5", "mit", EMBEDS,
        (_UNCASED, *_sentence("cls_token", 64, 512, lowers=True), weights.write(BERT, weights.twice)),
    ),
    Published(
        "BAAI/bge-m3", "mit", EMBEDS,
        (_xlm_tokenizer, *_sentence("cls_token", 64, 8192), _bge_m3_heads,
         weights.write(_XLM | {"max_position_embeddings": 8194}, weights.pickled)),
    ),
    Published(
        "intfloat/multilingual-e5-small", "mit", EMBEDS,
        (_xlm_tokenizer, *_sentence("mean_tokens", 64, 512), weights.write(_E5, weights.twice)),
    ),
    Published(
        "sentence-transformers/all-mpnet-base-v2", "apache-2.0", EMBEDS,
        (_MPNET_TOKENIZER, *_sentence("mean_tokens", 64, 384),
         weights.write(_MPNET, weights.twice, class_name="MPNetModel")),
    ),
    Published(
        "Snowflake/snowflake-arctic-embed-xs", "apache-2.0", EMBEDS,
        (_UNCASED, *_sentence("cls_token", 64, 512), weights.write(BERT, change=_without_pooler)),
    ),
    Published(
        "nomic-ai/nomic-embed-text-v1.5", "apache-2.0", EMBEDS,
        (_UNCASED, *_sentence("mean_tokens", 64, 8192, normalizes=False), weights.write(_NOMIC)),
    ),
)  # fmt: skip
