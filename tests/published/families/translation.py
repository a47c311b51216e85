"""Translation models: encoder–decoders, most of them with SentencePiece's files and pickled weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.published.forms import card, sentence_pieces, texts, weights
from tests.published.published import TRANSLATES, Direction, Part, Published

_SIZES: dict[str, Any] = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "num_hidden_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "dropout": 0.1,
    "is_encoder_decoder": True, "use_cache": True,
}  # fmt: skip
_PIECES = 260


def marian_tokenizer(source: Sequence[str], target: Sequence[str], first: tuple[str, ...] = ()) -> Part:
    """Two SentencePiece models, and one vocabulary of both: ``</s>``, ``<unk>``, languages, pieces, ``<pad>``."""

    def part(folder: Path) -> None:
        models = [sentence_pieces.train(tuple(side), _PIECES) for side in (source, target)]
        for model, name in zip(models, ("source.spm", "target.spm"), strict=True):
            (folder / name).write_bytes(model)
        every = [piece for model in models for piece in sentence_pieces.pieces(model)[3:]]
        # Pieces that both have stand first, as they are the most frequent.
        found = dict.fromkeys(["</s>", "<unk>", *first, *sorted(set(every), key=lambda p: (-every.count(p), p))])
        vocabulary = {piece: place for place, piece in enumerate([*found, "<pad>"])}
        (folder / "vocab.json").write_text(json.dumps(vocabulary, indent=2), "utf-8")

    return part


def _marian_weights(**more: Any) -> Part:
    """Marian's config needs the size of the vocabulary that was written before."""

    def part(folder: Path) -> None:
        size = len(json.loads((folder / "vocab.json").read_text("utf-8")))
        pad = size - 1
        config = {
            "architectures": ["MarianMTModel"], "model_type": "marian", **_SIZES, "activation_function": "swish",
            "bad_words_ids": [[pad]], "bos_token_id": 0, "eos_token_id": 0, "forced_eos_token_id": 0,
            "pad_token_id": pad, "decoder_start_token_id": pad, "vocab_size": size, "decoder_vocab_size": size,
            "max_position_embeddings": 512, "max_length": 512, "num_beams": 6, "scale_embedding": True,
            "normalize_before": False, "normalize_embedding": False, "static_position_embeddings": True,
            "share_encoder_decoder_embeddings": True, "add_bias_logits": False, "add_final_layer_norm": False,
            "transformers_version": "4.22.0",
        }  # fmt: skip
        weights.write(config | more, weights.pickled, change=_with_positions, dtype=_dtype(more), spread=weights.LOUD)(
            folder
        )
        generation = {
            "bad_words_ids": [[pad]], "bos_token_id": 0, "decoder_start_token_id": pad, "eos_token_id": 0,
            "forced_eos_token_id": 0, "max_length": 512, "num_beams": 4, "pad_token_id": pad,
        }  # fmt: skip
        card.generation(**generation)(folder)

    return part


def _dtype(more: dict[str, Any]) -> torch.dtype:
    return torch.float16 if more.get("torch_dtype") == "float16" else torch.float32


def _with_positions(tensors: weights.Tensors) -> weights.Tensors:
    """As older conversions have them: the table of positions, and the embeddings under each of their names."""
    shared, size = tensors["model.shared.weight"], _SIZES["d_model"]
    place = torch.arange(512.0)[:, None] / 10000 ** (2 * torch.arange(size // 2) / size)
    positions = torch.cat([place.sin(), place.cos()], dim=1).to(shared.dtype)
    copies = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
    extra = {f"model.{side}.embed_positions.weight": positions.clone() for side in ("encoder", "decoder")}
    return tensors | dict.fromkeys(copies, shared) | extra


def _opus(name: str, source: Sequence[str], target: Sequence[str], codes: tuple[str, str], inputs: str) -> Published:
    tokenizer_config = card.json_file("tokenizer_config.json", {"source_lang": codes[0], "target_lang": codes[1]})
    parts = (marian_tokenizer(source, target), tokenizer_config, _marian_weights())
    return Published(name, "cc-by-4.0", TRANSLATES, parts, direction=Direction(*codes, inputs=inputs))


_TC_LANGUAGES = (">>afr<<", ">>deu<<", ">>eng<<", ">>nld<<")
_TC_TOKENIZER = {
    "source_lang": "gmw", "target_lang": "gmw", "unk_token": "<unk>", "eos_token": "</s>", "pad_token": "<pad>",
    "model_max_length": 512, "sp_model_kwargs": {}, "separate_vocabs": False, "tokenizer_class": "MarianTokenizer",
}  # fmt: skip
_TC_BIG = Published(
    "Helsinki-NLP/opus-mt-tc-big-gmw-gmw",
    "cc-by-4.0",
    TRANSLATES,
    (
        marian_tokenizer(texts.ENGLISH + texts.GERMAN, texts.ENGLISH + texts.GERMAN, _TC_LANGUAGES),
        card.json_file("tokenizer_config.json", _TC_TOKENIZER),
        card.json_file("special_tokens_map.json", {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}),
        _marian_weights(torch_dtype="float16", activation_function="relu"),
    ),
    direction=Direction("eng", "deu", text_prefix=">>deu<< "),
)

REPOSITORIES = (
    _opus("Helsinki-NLP/opus-mt-zh-en", texts.CHINESE, texts.ENGLISH, ("zho", "eng"), "zh"),
    _opus("Helsinki-NLP/opus-mt-en-de", texts.ENGLISH, texts.GERMAN, ("eng", "deu"), "en"),
    _TC_BIG,
)
