"""What a model can do, as its ``config.json`` and the files beside it say. Reads no weights and needs no torch."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from lengthwise.errors import ConfigurationError
from lengthwise.models import pooling


class Architecture(StrEnum):
    #: A source is read once, a target is generated (Marian, NLLB, T5, BART).
    ENCODER_DECODER = "encoder-decoder"
    #: A prompt is continued (Llama, Qwen, Mistral).
    DECODER_ONLY = "decoder-only"
    #: One forward pass gives a score for each label.
    CLASSIFIER = "classifier"
    #: One forward pass gives a vector.
    EMBEDDER = "embedder"


#: The end of the name of transformers' class, which says what the class is for, behind the name of the family.
_FORM = re.compile(r"[A-Za-z][A-Za-z0-9_]*?(For[A-Z][A-Za-z]+|MTModel|(?:With)?LMHeadModel|Model)")
_LONGEST_NAME = 100
_GENERATIVE = frozenset({"ForConditionalGeneration", "ForCausalLM", "MTModel", "LMHeadModel", "WithLMHeadModel"})
_FILLING = frozenset({"ForMaskedLM", "ForPreTraining"})

#: What the other common forms do, for the error.
_OTHERS = {
    "ForTokenClassification": "labels single words (a token classifier)",
    "ForQuestionAnswering": "marks the answer to a question in a text",
    "ForMultipleChoice": "chooses one of several answers",
    "ForNextSentencePrediction": "judges whether one sentence follows another",
    "ForMaskedLM": "fills in masked words, and is an embedder only with sentence-transformers' modules.json",
    "ForPreTraining": "fills in masked words, and is an embedder only with sentence-transformers' modules.json",
}

#: Keys of ``config.json`` that only models of images or sound have.
_IMAGES = ("image_size", "patch_size", "vision_config")
_SOUND = ("num_mel_bins", "conv_dim", "audio_config")

#: Values of ``model_type`` whose bare models are decoders: a token's vector knows nothing of the tokens after it.
DECODERS = frozenset(
    {
        *("gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3"),
        *("smollm3", "starcoder2", "gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "bloom", "falcon", "mpt", "phi"),
        *("mixtral", "qwen2_moe", "qwen3_moe", "cohere", "olmo", "stablelm", "codegen", "gpt_bigcode"),
        *("qwen3_5_text", "qwen3_next", "granitemoehybrid", "bamba", "falcon_h1", "mamba", "mamba2"),
    }
)


def class_name(config: Mapping[str, Any]) -> str:
    """The name of transformers' class for the model; empty if ``config.json`` names none."""
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def read(config: Mapping[str, Any], folder: Path) -> Architecture:
    """What the engine ``torch`` runs this model as.

    Raises ``ConfigurationError``, whose message begins with the name of the class, if the engine cannot run it.
    """
    name = class_name(config)
    if not name:
        raise ConfigurationError("its config.json names no architecture")
    if not name.isidentifier() or len(name) > _LONGEST_NAME:
        raise ConfigurationError("its config.json names an architecture that is no name")
    match = _FORM.fullmatch(name)
    form = match[1] if match else ""
    has_pooling = (folder / pooling.MODULES).is_file()
    if any(key in config for key in _SOUND):
        raise ConfigurationError(f"{name} reads sound")
    if form in _GENERATIVE and config.get("is_encoder_decoder"):
        return Architecture.ENCODER_DECODER
    if form == "ForConditionalGeneration":
        raise ConfigurationError(f"{name} reads more than text, and lengthwise does not know its part for text")
    if form in _GENERATIVE:
        return Architecture.EMBEDDER if has_pooling else Architecture.DECODER_ONLY
    if any(key in config for key in _IMAGES):
        raise ConfigurationError(f"{name} reads images")
    if form == "ForSequenceClassification":
        return Architecture.CLASSIFIER
    if form == "Model" or (form in _FILLING and has_pooling):
        _refuse_unlike_embedders(config, name, has_pooling)
        return Architecture.EMBEDDER
    raise ConfigurationError(f"{name} {_OTHERS.get(form, 'is of no form that lengthwise knows')}")


def _refuse_unlike_embedders(config: Mapping[str, Any], name: str, has_pooling: bool) -> None:
    is_encoder = name.endswith("EncoderModel") and has_pooling  # of Sentence-T5, whose decoder is left out
    if config.get("is_encoder_decoder") and not is_encoder:
        raise ConfigurationError(
            f"{name} is an encoder–decoder without its last layer, which neither writes nor embeds"
        )
    if str(config.get("model_type")) in DECODERS and not has_pooling:
        raise ConfigurationError(f"{name} is a decoder, and without {pooling.MODULES} nothing says how it is pooled")
