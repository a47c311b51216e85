"""Trains byte-level BPE tokenizers, each saved as one ``tokenizer.json``.

First every Han character and every digit is isolated. So Chinese needs no word segmentation, and the model copies
numbers digit by digit instead of learning each number.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from training.corpus import PLACEHOLDERS

PAD, EOS, UNKNOWN = "<pad>", "</s>", "<unk>"
#: The first token of a source: the language to translate into.
TARGETS = {"zh-en": ">>en<<", "en-de": ">>de<<"}
CLS, SEP = "[CLS]", "[SEP]"


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Raises ``KeyError`` if the vocabulary lacks the token."""
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise KeyError(token)
    return found


def _train(texts: Iterable[str], size: int, special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Han}|\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def train_translate(texts: Iterable[str], size: int) -> Tokenizer:
    """Trains one tokenizer for sources and targets.

    Placeholders are ordinary tokens, not special ones. They are part of the text and must be recognised in it, while
    special tokens must not be.
    """
    tokenizer = _train(texts, size - len(PLACEHOLDERS), [PAD, EOS, UNKNOWN, *TARGETS.values()])
    tokenizer.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in PLACEHOLDERS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, token_id(tokenizer, EOS))]
    )
    return tokenizer


def train_moderate(texts: Iterable[str], size: int) -> Tokenizer:
    tokenizer = _train(texts, size, [PAD, CLS, SEP, UNKNOWN])
    special = [(token, token_id(tokenizer, token)) for token in (CLS, SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{CLS} $A {SEP}", special_tokens=special)
    return tokenizer


def encode_source(tokenizer: Tokenizer, text: str, direction: str) -> list[int]:
    """Returns the ids of prefix, text and end token: what the worker builds and what the model is trained on."""
    content = tokenizer.encode(text, add_special_tokens=False).ids
    return [token_id(tokenizer, TARGETS[direction]), *content, token_id(tokenizer, EOS)]
