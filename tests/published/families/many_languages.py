"""Translation models of many languages: M2M-100, mBART and NLLB, which begin their answers with a language."""

import json
from pathlib import Path
from typing import Any

from tests.published.forms import card, piece_files, sentence_pieces, texts, weights
from tests.published.published import TRANSLATES, Direction, Published

_SIZES: dict[str, Any] = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "num_hidden_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "dropout": 0.1,
    "activation_function": "relu", "is_encoder_decoder": True, "use_cache": True, "scale_embedding": True,
    "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2,
}  # fmt: skip
_PIECES = 500
_FIRST = ["<s>", "<pad>", "</s>", "<unk>"]
#: As fairseq numbers them: SentencePiece's own ``<unk>``, ``<s>`` and ``</s>`` come first there.
_MODEL = "sentencepiece.bpe.model"

M2M_LANGUAGES = [
    "af", "am", "ar", "ast", "az", "ba", "be", "bg", "bn", "br", "bs", "ca", "ceb", "cs", "cy", "da", "de", "el",
    "en", "es", "et", "fa", "ff", "fi", "fr", "fy", "ga", "gd", "gl", "gu", "ha", "he", "hi", "hr", "ht", "hu", "hy",
    "id", "ig", "ilo", "is", "it", "ja", "jv", "ka", "kk", "km", "kn", "ko", "lb", "lg", "ln", "lo", "lt", "lv", "mg",
    "mk", "ml", "mn", "mr", "ms", "my", "ne", "nl", "no", "ns", "oc", "or", "pa", "pl", "ps", "pt", "ro", "ru", "sd",
    "si", "sk", "sl", "so", "sq", "sr", "ss", "su", "sv", "sw", "ta", "th", "tl", "tn", "tr", "uk", "ur", "uz", "vi",
    "wo", "xh", "yi", "yo", "zh", "zu",
]  # fmt: skip


def _pieces() -> bytes:
    return sentence_pieces.train(texts.EVERY, _PIECES, "bpe")


def _count() -> int:
    return len(sentence_pieces.pieces(_pieces())) - 3


def _spm(folder: Path) -> None:
    (folder / _MODEL).write_bytes(_pieces())


def _m2m_vocabulary(folder: Path) -> None:
    every = [*_FIRST, *sentence_pieces.pieces(_pieces())[3:]]
    (folder / "vocab.json").write_text(json.dumps({piece: place for place, piece in enumerate(every)}), "utf-8")


def _m2m_weights(folder: Path) -> None:
    # Behind the languages are eight words that nothing uses.
    config = {
        "architectures": ["M2M100ForConditionalGeneration"], "model_type": "m2m_100", **_SIZES, "max_length": 200,
        "max_position_embeddings": 1024, "num_beams": 5, "early_stopping": True, "encoder_layerdrop": 0.05,
        "vocab_size": 4 + _count() + len(M2M_LANGUAGES) + 8,
    }  # fmt: skip
    weights.write(config, weights.pickled, used=config["vocab_size"] - 8, spread=weights.LOUD)(folder)
    card.generation(
        bos_token_id=0, decoder_start_token_id=2, early_stopping=True, eos_token_id=2, max_length=200, num_beams=5,
        pad_token_id=1,
    )(folder)  # fmt: skip


_SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>"}

_M2M = Published(
    "facebook/m2m100_418M",
    "mit",
    TRANSLATES,
    (
        _spm,
        _m2m_vocabulary,
        card.json_file(
            "tokenizer_config.json",
            {"src_lang": None, "tgt_lang": None, "model_max_length": 1024, "tokenizer_class": "M2M100Tokenizer",
             "num_madeup_words": 8, "language_codes": "m2m100"} | _SPECIAL,
        ),
        card.json_file(
            "special_tokens_map.json",
            _SPECIAL | {"additional_special_tokens": [f"__{code}__" for code in M2M_LANGUAGES]},
        ),
        _m2m_weights,
    ),
    direction=Direction("zh", "en", needs_codes=True, inputs="zh"),
)  # fmt: skip

_MBART_LANGUAGES = [
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT", "ja_XX",
    "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN",
    "zh_CN", "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK", "ml_IN",
    "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN", "th_TH", "tl_XX", "uk_UA",
    "ur_PK", "xh_ZA", "gl_ES", "sl_SI",
]  # fmt: skip


def _mbart_weights(folder: Path) -> None:
    config = {
        "architectures": ["MBartForConditionalGeneration"], "model_type": "mbart", **_SIZES,
        "tokenizer_class": "MBart50Tokenizer", "add_bias_logits": False, "add_final_layer_norm": True,
        "classifier_dropout": 0.0, "forced_eos_token_id": 2, "max_length": 200, "num_beams": 5, "early_stopping": True,
        "max_position_embeddings": 1024, "normalize_before": True, "normalize_embedding": True, "output_past": True,
        "static_position_embeddings": False, "vocab_size": 4 + _count() + len(_MBART_LANGUAGES) + 1,
    }  # fmt: skip
    weights.write(config, weights.pickled, spread=weights.LOUD)(folder)
    card.generation(
        bos_token_id=0, decoder_start_token_id=2, early_stopping=True, eos_token_id=2, forced_eos_token_id=2,
        max_length=200, num_beams=5, pad_token_id=1,
    )(folder)  # fmt: skip


_MBART = Published(
    "facebook/mbart-large-50-many-to-many-mmt",
    "mit",
    TRANSLATES,
    (
        _spm,
        card.json_file(
            "tokenizer_config.json",
            {"src_lang": None, "tgt_lang": None, "language_codes": "ML50", "cls_token": "<s>", "mask_token": "<mask>",
             "model_max_length": 1024, "tokenizer_class": "MBart50Tokenizer"} | _SPECIAL,
        ),
        card.json_file("special_tokens_map.json", _SPECIAL | {"additional_special_tokens": _MBART_LANGUAGES}),
        _mbart_weights,
    ),
    direction=Direction("en_XX", "de_DE", needs_codes=True),
)  # fmt: skip

#: A tenth of NLLB's two hundred.
_NLLB_LANGUAGES = [
    "ace_Arab", "afr_Latn", "arb_Arab", "ces_Latn", "dan_Latn", "deu_Latn", "eng_Latn", "fra_Latn", "hin_Deva",
    "ita_Latn", "jpn_Jpan", "kor_Hang", "nld_Latn", "pol_Latn", "por_Latn", "rus_Cyrl", "spa_Latn", "swe_Latn",
    "tur_Latn", "ukr_Cyrl", "vie_Latn", "zho_Hans", "zho_Hant",
]  # fmt: skip


def _nllb_weights(folder: Path, form: weights.Form) -> None:
    config = {
        "architectures": ["M2M100ForConditionalGeneration"], "model_type": "m2m_100", **_SIZES, "max_length": 200,
        "max_position_embeddings": 1024, "tokenizer_class": "NllbTokenizer", "torch_dtype": "float32",
        "vocab_size": 4 + _count() + len(_NLLB_LANGUAGES) + 1,
    }  # fmt: skip
    weights.write(config, form, spread=weights.LOUD)(folder)
    card.generation(bos_token_id=0, decoder_start_token_id=2, eos_token_id=2, max_length=200, pad_token_id=1)(folder)


def _nllb_json(folder: Path) -> None:
    piece_files.write_fairseq_bpe(folder, _pieces(), "eng_Latn", _NLLB_LANGUAGES)


def _nllb(name: str, form: weights.Form) -> Published:
    tokenizer_config: dict[str, Any] = _SPECIAL | {
        "src_lang": None, "tgt_lang": None, "cls_token": "<s>", "mask_token": "<mask>", "model_max_length": 1024,
        "tokenizer_class": "NllbTokenizer", "sp_model_kwargs": {}, "additional_special_tokens": _NLLB_LANGUAGES,
    }  # fmt: skip
    parts = (
        _spm,
        _nllb_json,
        card.json_file("tokenizer_config.json", tokenizer_config),
        card.json_file("special_tokens_map.json", _SPECIAL | {"additional_special_tokens": _NLLB_LANGUAGES}),
        lambda folder: _nllb_weights(folder, form),
    )
    direction = Direction("zho_Hans", "eng_Latn", needs_codes=True, inputs="zh")
    return Published(name, "cc-by-nc-4.0", TRANSLATES, parts, direction=direction)


REPOSITORIES: tuple[Published, ...] = (
    _M2M,
    _MBART,
    _nllb("facebook/nllb-200-distilled-600M", weights.pickled),
    _nllb("facebook/nllb-200-1.3B", weights.pickled_in_two),
)
