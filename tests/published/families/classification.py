"""Classifiers of texts: toxicity, sentiment and moderation."""

import json
from pathlib import Path
from typing import Any

import torch

from tests.published.families.embedding import BERT
from tests.published.families.sizes import ENCODER
from tests.published.forms import card, piece_files, sentence_pieces, texts, weights
from tests.published.forms.byte_level import ByteLevel
from tests.published.forms.wordpiece import WordPiece
from tests.published.published import MODERATES, Part, Published

_BARE = WordPiece(has_json=False, config={"model_max_length": 512})
_CASED = WordPiece(has_json=False, lowers=False, config={"model_max_length": 512})
_ROBERTA = ByteLevel(
    first=("<s>", "<pad>", "</s>", "<unk>"), last=("<mask>",), is_roberta=True, has_json=False, has_parts=True,
    config={"model_max_length": 512},
)  # fmt: skip
_SPECIAL = card.json_file(
    "special_tokens_map.json",
    {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>", "pad_token": "<pad>",
     "sep_token": "</s>", "unk_token": "<unk>"},
)  # fmt: skip


def labelled(*names: str) -> dict[str, Any]:
    return {"id2label": {str(place): name for place, name in enumerate(names)},
            "label2id": {name: place for place, name in enumerate(names)}}  # fmt: skip


_BERT = BERT | {"architectures": ["BertForSequenceClassification"], "vocab_size": _BARE.size}
_ROBERTA_CONFIG = {
    "architectures": ["RobertaForSequenceClassification"], "model_type": "roberta", **ENCODER, "bos_token_id": 0,
    "eos_token_id": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-05, "max_position_embeddings": 514,
    "pad_token_id": 1, "position_embedding_type": "absolute", "type_vocab_size": 1, "use_cache": True,
    "vocab_size": _ROBERTA.size,
}  # fmt: skip
_TOXIC = labelled("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
_UNBIASED = labelled(
    "toxicity", "severe_toxicity", "obscene", "identity_attack", "insult", "threat", "sexual_explicit", "male",
    "female", "homosexual_gay_or_lesbian", "christian", "jewish", "muslim", "black", "white",
    "psychiatric_or_mental_illness",
)  # fmt: skip
_MULTI = {"problem_type": "multi_label_classification"}
_DISTILBERT = {
    "activation": "gelu", "architectures": ["DistilBertForSequenceClassification"], "attention_dropout": 0.1,
    "dim": 64, "dropout": 0.1, "hidden_dim": 128, "initializer_range": 0.02, "max_position_embeddings": 512,
    "model_type": "distilbert", "n_heads": 2, "n_layers": 2, "output_past": True, "pad_token_id": 0,
    "problem_type": "single_label_classification", "qa_dropout": 0.1, "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False, "tie_weights_": True, "vocab_size": _CASED.size, **labelled("not_toxic", "toxic"),
}  # fmt: skip

#: Older versions stored the numbers of the places.
_WITH_PLACES = weights.with_extra(bert__embeddings__position_ids=torch.arange(512)[None])
_PIECES = 400


def _deberta_pieces() -> bytes:
    return sentence_pieces.train(
        texts.EVERY, _PIECES, unk_id=3, unk_piece="[UNK]", pad_id=0, pad_piece="[PAD]", bos_id=1, bos_piece="[CLS]",
        eos_id=2, eos_piece="[SEP]",
    )  # fmt: skip


def _deberta_tokenizer(folder: Path) -> None:
    (folder / "spm.model").write_bytes(_deberta_pieces())
    names = {"bos_token": "[CLS]", "cls_token": "[CLS]", "eos_token": "[SEP]", "mask_token": "[MASK]",
             "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]"}  # fmt: skip
    more = {"do_lower_case": False, "sp_model_kwargs": {}, "split_by_punct": False, "vocab_type": "spm",
            "model_max_length": 512, "tokenizer_class": "DebertaV2Tokenizer"}  # fmt: skip
    card.json_file("tokenizer_config.json", names | more)(folder)
    card.json_file("special_tokens_map.json", names)(folder)
    size = len(sentence_pieces.pieces(_deberta_pieces()))
    (folder / "added_tokens.json").write_text(json.dumps({"[MASK]": size}))


def _deberta_json(folder: Path) -> None:
    piece_files.write_deberta(folder, _deberta_pieces())


def _deberta(labels: dict[str, Any], form: weights.Form) -> Part:
    def part(folder: Path) -> None:
        config = {
            "architectures": ["DebertaV2ForSequenceClassification"], "model_type": "deberta-v2", **ENCODER,
            "hidden_act": "gelu", "layer_norm_eps": 1e-07, "max_position_embeddings": 512,
            "max_relative_positions": -1, "norm_rel_ebd": "layer_norm", "pad_token_id": 0, "pooler_dropout": 0,
            "pooler_hidden_act": "gelu", "pooler_hidden_size": 64, "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False, "position_buckets": 256, "problem_type": "single_label_classification",
            "relative_attention": True, "share_att_key": True, "type_vocab_size": 0,
            "vocab_size": len(sentence_pieces.pieces(_deberta_pieces())) + 1,
            **labels,
        }  # fmt: skip
        weights.write(config, form)(folder)

    return part


def _with_pooler(tensors: weights.Tensors) -> weights.Tensors:
    """With the layer of the model that it was trained from, which the classifier does not use."""
    square = next(tensor for name, tensor in tensors.items() if name.endswith("classifier.dense.weight"))
    places = {"roberta.embeddings.position_ids": torch.arange(514)[None]}
    pooler = {"roberta.pooler.dense.weight": square.clone(), "roberta.pooler.dense.bias": square[0].clone()}
    return tensors | places | pooler


REPOSITORIES = (
    Published(
        "unitary/toxic-bert", "apache-2.0", MODERATES,
        (_BARE, weights.write(_BERT | _TOXIC | _MULTI, weights.pickled, change=_WITH_PLACES)),
    ),
    Published(
        "unitary/unbiased-toxic-roberta", "apache-2.0", MODERATES,
        (_ROBERTA, _SPECIAL, weights.write(_ROBERTA_CONFIG | _UNBIASED | _MULTI, weights.pickled)),
    ),
    Published(
        "s-nlp/roberta_toxicity_classifier", "openrail++", MODERATES,
        (_ROBERTA, _SPECIAL,
         weights.write(_ROBERTA_CONFIG | labelled("neutral", "toxic"), weights.pickled, change=_with_pooler)),
    ),
    Published(
        "cardiffnlp/twitter-roberta-base-sentiment-latest", "cc-by-4.0", MODERATES,
        (_ROBERTA, _SPECIAL,
         weights.write(_ROBERTA_CONFIG | labelled("negative", "neutral", "positive"), weights.pickled,
                       change=_with_pooler)),
    ),
    Published(
        "citizenlab/distilbert-base-multilingual-cased-toxicity", "afl-3.0", MODERATES,
        (_CASED, weights.write(_DISTILBERT, weights.pickled)),
    ),
    Published(
        "KoalaAI/Text-Moderation", "openrail", MODERATES,
        (_deberta_tokenizer, _deberta_json,
         _deberta(labelled("S", "H", "V", "HR", "SH", "S3", "H2", "V2", "OK"), weights.twice)),
    ),
    Published(
        "protectai/deberta-v3-base-prompt-injection", "apache-2.0", MODERATES,
        (_deberta_tokenizer, _deberta(labelled("SAFE", "INJECTION"), weights.single)),
    ),
)  # fmt: skip
