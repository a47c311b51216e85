"""T5 and its relatives, which are told their task in words, or by a language in front of the text."""

from pathlib import Path
from typing import Any

import torch

from tests.published.forms import card, piece_files, sentence_pieces, texts, weights
from tests.published.published import CONTINUES, TRANSLATES, Direction, Part, Published

_SIZES: dict[str, Any] = {
    "d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2,
    "is_encoder_decoder": True, "relative_attention_num_buckets": 32, "layer_norm_epsilon": 1e-06,
    "dropout_rate": 0.1, "use_cache": True, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
    "initializer_factor": 1.0,
}  # fmt: skip
_PIECES = 400
_EXTRA = [f"<extra_id_{number}>" for number in range(100)]
_SPECIAL = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_GATED: dict[str, Any] = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}


def _pieces(symbols: str = "") -> bytes:
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    return sentence_pieces.train(texts.EVERY, _PIECES, "unigram", user_defined_symbols=symbols, **ids)


def _tokenizer(n_extra: int, has_json: bool, symbols: str = "") -> Part:
    def part(folder: Path) -> None:
        model = _pieces(symbols)
        (folder / "spiece.model").write_bytes(model)
        extra = _EXTRA[:n_extra]
        special = _SPECIAL | ({"additional_special_tokens": extra} if extra else {})
        more = {"extra_ids": n_extra, "model_max_length": 512, "tokenizer_class": "T5Tokenizer"}
        card.json_file("special_tokens_map.json", special)(folder)
        card.json_file("tokenizer_config.json", special | more)(folder)
        if has_json:
            piece_files.write_t5(folder, model, extra[::-1])

    return part


def _weights(
    form: weights.Form, n_extra: int, symbols: str = "", change: weights.Change = weights.unchanged, **more: Any
) -> Part:
    """As published, the table of embeddings has some rows more than the tokenizer has pieces."""

    def part(folder: Path) -> None:
        used = len(sentence_pieces.pieces(_pieces(symbols))) + n_extra
        size = used + -used % 64
        config = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": size}
        weights.write(config | _SIZES | more, form, used=used, change=change)(folder)
        card.generation(decoder_start_token_id=0, eos_token_id=1, pad_token_id=0)(folder)

    return part


_TASKS: dict[str, Any] = {
    "task_specific_params": {
        "translation_en_to_de": {
            "early_stopping": True, "max_length": 300, "num_beams": 4, "prefix": "translate English to German: ",
        }
    },
    "n_positions": 512,
}  # fmt: skip
_TO_GERMAN = Direction("en", "de", text_prefix="translate English to German: ")
#: Older versions had a table of distances in the attention of the encoder's outputs too.
_OLD_KEY = weights.with_extra(
    decoder__block__0__layer__1__EncDecAttention__relative_attention_bias__weight=torch.zeros(32, 2)
)
_MADLAD = "<2de>,<2en>,<2zh>,<2fr>"

REPOSITORIES = (
    Published(
        "google-t5/t5-small", "apache-2.0", TRANSLATES,
        (_tokenizer(100, has_json=True), _weights(weights.twice, 100, change=_OLD_KEY, **_TASKS)),
        direction=_TO_GERMAN,
    ),
    Published(
        "google/flan-t5-base", "apache-2.0", TRANSLATES,
        (_tokenizer(100, has_json=True), _weights(weights.twice, 100, **_TASKS, **_GATED)),
        direction=_TO_GERMAN,
    ),
    # It was trained for no task, so it names no languages.
    Published(
        "google/mt5-small", "apache-2.0", CONTINUES,
        (
            _tokenizer(0, has_json=False),
            _weights(
                weights.pickled, 0, architectures=["MT5ForConditionalGeneration"], model_type="mt5",
                tokenizer_class="T5Tokenizer", **_GATED,
            ),
        ),
    ),
    Published(
        "google/madlad400-3b-mt", "apache-2.0", TRANSLATES,
        (_tokenizer(0, has_json=True, symbols=_MADLAD), _weights(weights.single, 0, _MADLAD, **_GATED)),
        direction=Direction("en", "de", text_prefix="<2de> "),
    ),
)  # fmt: skip
