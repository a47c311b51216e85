"""Tiny models with random weights, written to disk as a hub would store them: safetensors, config and manifest.

Small random weights repeat one token for ever, so the initial spread is large; the tests check that answers vary.
"""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers.utils import logging as transformers_logging

from lengthwise.errors import ConfigurationError
from lengthwise.models import architecture, manifest
from lengthwise.models.catalog import ModelSpec
from worker.engine.completions import completions
from worker.engine.protocol import Architecture, Request
from worker.engine.transformer.engine import TorchEngine

#: Untyped, because transformers' constructors have incomplete annotations.
hub: Any = transformers

VOCABULARY = 120
PAD, END, START = 0, 1, 2
IDS: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "eos_token_id": END, "bos_token_id": START}
_SEQ2SEQ: dict[str, Any] = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "max_position_embeddings": 128, "init_std": 0.4,
    "forced_eos_token_id": None, "decoder_start_token_id": END,
}  # fmt: skip
DECODER: dict[str, Any] = {
    "hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.4,
}  # fmt: skip
ENCODER: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
    "max_position_embeddings": 128,
}  # fmt: skip
CLASSIFIER: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "num_labels": 3, "initializer_range": 0.3}


def _marian() -> Any:
    # As in converted Opus-MT models, the start token is the padding, which must never be written.
    own = _SEQ2SEQ | {"decoder_start_token_id": PAD, "init_std": 0.02}
    model = hub.MarianMTModel(hub.MarianConfig(**IDS, **own, bad_words_ids=[[PAD]]))
    return _louder(model, 5, lambda name, module: isinstance(module, torch.nn.Linear) and name != "lm_head")


def _bart() -> Any:
    model = hub.BartForConditionalGeneration(hub.BartConfig(**IDS, **_SEQ2SEQ | {"init_std": 0.1}))
    return _louder(model, 5, lambda name, _: name.endswith("embed_positions"))


def _louder(model: Any, factor: float, wanted: Callable[[str, Any], bool]) -> Any:
    """Scales the chosen weights: with tied embeddings a random model repeats its input unless others outweigh them."""
    for name, module in model.named_modules():
        if wanted(name, module):
            module.weight.data *= factor
    return model


_T5: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 2, "num_heads": 2,
    "decoder_start_token_id": PAD, "initializer_factor": 4.0,
}  # fmt: skip
#: Sliding windows of 20 tokens alternate with full attention. With tied embeddings a random model repeats its input.
GEMMA: dict[str, Any] = {
    "head_dim": 32, "query_pre_attn_scalar": 24, "sliding_window": 20, "tie_word_embeddings": False,
    "layer_types": ["sliding_attention", "full_attention"],
}  # fmt: skip
#: As in T5 1.1, Flan-T5 and mT5.
_GATED: dict[str, Any] = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}


def _bert(**more: Any) -> Any:
    return hub.BertForSequenceClassification(hub.BertConfig(**CLASSIFIER, **ENCODER, **more))


def _distilbert() -> Any:
    sizes = {"dim": 64, "n_layers": 2, "n_heads": 2, "hidden_dim": 128, "max_position_embeddings": 128}
    config = hub.DistilBertConfig(**CLASSIFIER, **sizes, problem_type="multi_label_classification")
    return hub.DistilBertForSequenceClassification(config)


ENCODER_DECODERS: dict[str, Callable[[], Any]] = {
    "marian": _marian,
    "t5": lambda: hub.T5ForConditionalGeneration(hub.T5Config(**_T5)),
    "t5_gated": lambda: hub.T5ForConditionalGeneration(hub.T5Config(**_T5, **_GATED)),
    "mt5": lambda: hub.MT5ForConditionalGeneration(hub.MT5Config(**_T5, **_GATED)),
    "bart": _bart,
    "m2m_100": lambda: hub.M2M100ForConditionalGeneration(hub.M2M100Config(**IDS, **_SEQ2SEQ)),
    "mbart": lambda: hub.MBartForConditionalGeneration(hub.MBartConfig(**IDS, **_SEQ2SEQ)),
}
DECODERS: dict[str, Callable[[], Any]] = {
    "llama": lambda: hub.LlamaForCausalLM(hub.LlamaConfig(**IDS, **DECODER)),
    "qwen2": lambda: hub.Qwen2ForCausalLM(hub.Qwen2Config(**IDS, **DECODER)),
    "qwen3": lambda: hub.Qwen3ForCausalLM(hub.Qwen3Config(**IDS, **DECODER, head_dim=32)),
    "mistral": lambda: hub.MistralForCausalLM(hub.MistralConfig(**IDS, **DECODER, sliding_window=20)),
    "gemma": lambda: hub.GemmaForCausalLM(hub.GemmaConfig(**IDS, **DECODER, head_dim=32)),
    # Caps so low that they change scores.
    "gemma2": lambda: hub.Gemma2ForCausalLM(
        hub.Gemma2Config(
            **IDS, **DECODER, **GEMMA,
            attn_logit_softcapping=5.0, final_logit_softcapping=3.0,
        )
    ),
    "gemma3_text": lambda: hub.Gemma3ForCausalLM(
        hub.Gemma3TextConfig(**IDS, **DECODER, **GEMMA)
    ),
    "phi3": lambda: hub.Phi3ForCausalLM(hub.Phi3Config(**IDS, **DECODER)),
    "olmo2": lambda: hub.Olmo2ForCausalLM(hub.Olmo2Config(**IDS, **DECODER)),
    "granite": lambda: hub.GraniteForCausalLM(
        hub.GraniteConfig(**IDS, **DECODER, embedding_multiplier=3.0, attention_multiplier=0.2)
    ),
    "smollm3": lambda: hub.SmolLM3ForCausalLM(hub.SmolLM3Config(**IDS, **DECODER, no_rope_layers=[1, 0])),
    "starcoder2": lambda: hub.Starcoder2ForCausalLM(hub.Starcoder2Config(**IDS, **DECODER, sliding_window=20)),
}  # fmt: skip
#: Their steps cannot be captured as CUDA graphs: the flash kernel supports neither soft caps nor biases.
NOT_CAPTURED = ("gemma2", "t5", "t5_gated", "mt5")
GENERATIVE = ENCODER_DECODERS | DECODERS
#: A family that our attention does not support, so that transformers' generate runs it.
UNFITTING: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: hub.GPT2LMHeadModel(
        hub.GPT2Config(**IDS, n_embd=64, n_layer=2, n_head=2, n_positions=128, initializer_range=0.4)
    )
}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "bert": _bert,
    "distilbert": _distilbert,
    "roberta": lambda: hub.RobertaForSequenceClassification(hub.RobertaConfig(**CLASSIFIER, **ENCODER)),
    "xlm-roberta": lambda: hub.XLMRobertaForSequenceClassification(hub.XLMRobertaConfig(**CLASSIFIER, **ENCODER)),
    "camembert": lambda: hub.CamembertForSequenceClassification(hub.CamembertConfig(**CLASSIFIER, **ENCODER)),
    "electra": lambda: hub.ElectraForSequenceClassification(
        hub.ElectraConfig(**CLASSIFIER, **ENCODER, embedding_size=32)
    ),
}
EMBEDDERS: dict[str, Callable[[], Any]] = {
    "embed-bert": lambda: hub.BertModel(hub.BertConfig(**CLASSIFIER, **ENCODER)),
    "embed-distilbert": lambda: hub.DistilBertModel(_distilbert().config),
    "embed-roberta": lambda: hub.RobertaModel(hub.RobertaConfig(**CLASSIFIER, **ENCODER)),
    "embed-xlm-roberta": lambda: hub.XLMRobertaModel(hub.XLMRobertaConfig(**CLASSIFIER, **ENCODER)),
    "embed-camembert": lambda: hub.CamembertModel(hub.CamembertConfig(**CLASSIFIER, **ENCODER)),
    "embed-electra": lambda: hub.ElectraModel(hub.ElectraConfig(**CLASSIFIER, **ENCODER, embedding_size=32)),
}
#: Families that run on their own attention, with a plain mask and without int8.
UNFITTING_CLASSIFIERS: dict[str, Callable[[], Any]] = {
    # Its attention reads the weights of one of its linear layers.
    "deberta": lambda: hub.DebertaForSequenceClassification(
        hub.DebertaConfig(**CLASSIFIER, **ENCODER, relative_attention=True, pos_att_type=["p2c", "c2p"])
    ),
    "deberta-v2": lambda: hub.DebertaV2ForSequenceClassification(
        hub.DebertaV2Config(
            **CLASSIFIER, **ENCODER, relative_attention=True, position_buckets=16, pos_att_type=["p2c", "c2p"]
        )
    ),
}
UNFITTING_EMBEDDERS: dict[str, Callable[[], Any]] = {
    "embed-mpnet": lambda: hub.MPNetModel(hub.MPNetConfig(**CLASSIFIER, **ENCODER))
}
#: Published as fill-mask models; with the files of sentence-transformers they are embedders.
MASKED: dict[str, Callable[[], Any]] = {
    "masked-roberta": lambda: hub.RobertaForMaskedLM(hub.RobertaConfig(**CLASSIFIER, **ENCODER)),
    "masked-mpnet": lambda: hub.MPNetForMaskedLM(hub.MPNetConfig(**CLASSIFIER, **ENCODER)),
}
#: They serve no kind, or another one than their family.
USELESS: dict[str, Callable[[], Any]] = {
    "token-bert": lambda: hub.BertForTokenClassification(hub.BertConfig(**CLASSIFIER, **ENCODER)),
    "question-bert": lambda: hub.BertForQuestionAnswering(hub.BertConfig(**CLASSIFIER, **ENCODER)),
    "bare-llama": lambda: hub.LlamaModel(hub.LlamaConfig(**IDS, **DECODER)),
    "bare-bart": lambda: hub.BartModel(hub.BartConfig(**IDS, **_SEQ2SEQ)),
}
EVERY = (
    GENERATIVE | UNFITTING | CLASSIFIERS | UNFITTING_CLASSIFIERS | EMBEDDERS | UNFITTING_EMBEDDERS | MASKED | USELESS
)


def write(kind: str, folder: Path) -> Any:
    """Writes a model of this kind; returns transformers' model in memory."""
    return save(EVERY[kind], folder, seed=8 if kind == "bart" else 7)


def save(make: Callable[[], Any], folder: Path, seed: int = 7) -> Any:
    """Writes the model that ``make`` gives, and returns it in evaluation mode."""
    torch.manual_seed(seed)
    model = make().eval()
    transformers_logging.disable_progress_bar()
    model.save_pretrained(folder)
    write_tokenizer(folder)
    manifest.write(folder, sorted(path.name for path in folder.iterdir()))
    return model


def write_tokenizer(folder: Path) -> None:
    """Writes a tokenizer with one word for each id; ``text`` gives such words."""
    tokenizer = Tokenizer(WordLevel({text([token]): token for token in range(VOCABULARY)}, unk_token=text([START])))
    tokenizer.pre_tokenizer = Split(Regex("w[0-9]{3} "), "isolated")
    tokenizer.decoder = Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))


def text(tokens: Sequence[int]) -> str:
    """The text of ids by every tiny model's tokenizer: five characters for each id."""
    return "".join(f"w{token:03d} " for token in tokens)


#: The tables of kinds that need something in them. The labels of tiny classifiers have no names.
_TABLES: dict[str, dict[str, Any]] = {"moderate": {"harmless": ["LABEL_0"]}, "translate": {"pairs": [["zh", "en"]]}}


def spec(folder: Path, quantization: str = "none", kind: str | None = None) -> ModelSpec:
    """The model with a table for ``kind``, or else for one that it can serve."""
    kind = kind or _usual_kind(folder)
    table = {"path": folder, "quantization": quantization, "device": "cpu", kind: _TABLES.get(kind, {})}
    return ModelSpec.from_table("tiny", table)


def _usual_kind(folder: Path) -> str:
    try:
        found = architecture.read(json.loads((folder / "config.json").read_bytes()), folder)
    except (ConfigurationError, ValueError):
        return "generate"
    return {Architecture.CLASSIFIER: "moderate", Architecture.EMBEDDER: "embed"}.get(found, "generate")


def load(folder: Path, quantization: str = "none", kind: str | None = None) -> TorchEngine:
    return TorchEngine.load(spec(folder, quantization, kind))


def requests(max_new_tokens: int = 12, lengths: tuple[int, ...] = (7, 3, 40, 12, 7, 33, 50)) -> list[Request]:
    """Requests with random ids, of mixed lengths."""
    draw = random.Random(3)
    inputs = [[draw.randrange(3, VOCABULARY) for _ in range(length)] for length in lengths]
    return [Request(number, tokens, max_new_tokens) for number, tokens in enumerate(inputs)]


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def choose_end(folder: Path, asked: Sequence[Request]) -> int:
    """Makes an id that about half of the answers contain the model's end token, and returns it.

    Random models seldom end by themselves. Writes the new ``config.json`` into the manifest.
    """
    answers = [set(answer.tokens) for answer in completions(load(folder), asked)]
    end = min(range(3, VOCABULARY), key=lambda token: abs(2 * sum(token in answer for answer in answers) - len(asked)))
    edit_config(folder, eos_token_id=end)
    (folder / "generation_config.json").unlink()
    manifest.write(folder, sorted(path.name for path in folder.iterdir() if path.name != manifest.MANIFEST))
    return end
