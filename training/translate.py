"""The translation model: its shape, its training examples, and greedy translation for evaluation."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, MarianConfig, MarianMTModel

from training.batch import bucketed, padded
from training.corpus import DIRECTIONS, Direction, held_out_texts, training_pairs
from training.tokenizer import EOS, PAD, encode_source, token_id, train_translate

VOCABULARY = 2600
MODEL_CLASS = MarianMTModel
STEPS = 2400
#: Source and target tokens per training step, padding included.
BUDGET = 2400
#: Pairs that the tokenizer is trained on.
TOKENIZER_PAIRS = 40_000
#: Longer than any target of the corpus.
MAX_NEW_TOKENS = 320


class TranslationExample(NamedTuple):
    source: list[int]
    target: list[int]


def make_tokenizer(seed: int) -> Tokenizer:
    pairs = list(islice(training_pairs(seed), TOKENIZER_PAIRS))
    return train_translate((text for pair in pairs for text in (pair.source, pair.target)), VOCABULARY)


def make_model(tokenizer: Tokenizer) -> Any:
    pad, eos = token_id(tokenizer, PAD), token_id(tokenizer, EOS)
    config = MarianConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=512,
        d_model=192,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=768,
        decoder_ffn_dim=768,
        activation_function="gelu",
        dropout=0.0,
        attention_dropout=0.0,
        scale_embedding=True,
        pad_token_id=pad,
        eos_token_id=eos,
        forced_eos_token_id=None,
        decoder_start_token_id=pad,
        bos_token_id=None,
        architectures=["MarianMTModel"],
    )
    model = MODEL_CLASS(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        pad_token_id=pad,
        eos_token_id=eos,
        decoder_start_token_id=pad,
        do_sample=False,
        num_beams=1,
        max_new_tokens=MAX_NEW_TOKENS,
    )
    return model


def _examples(tokenizer: Tokenizer, seed: int) -> Iterator[TranslationExample]:
    end = token_id(tokenizer, EOS)
    for pair in training_pairs(seed):
        target = tokenizer.encode(pair.target, add_special_tokens=False).ids
        yield TranslationExample(encode_source(tokenizer, pair.source, pair.direction), [*target, end])


def batches(tokenizer: Tokenizer, seed: int) -> Iterator[list[TranslationExample]]:
    return bucketed(_examples(tokenizer, seed), lambda one: len(one.source) + len(one.target), BUDGET, seed)


def loss(model: Any, tokenizer: Tokenizer, examples: list[TranslationExample]) -> torch.Tensor:
    """Returns the mean cross-entropy of the target tokens, a scalar."""
    pad = token_id(tokenizer, PAD)
    sources = padded([example.source for example in examples], pad)
    targets = padded([example.target for example in examples], pad)
    inputs = torch.cat([torch.full((len(targets), 1), pad), targets[:, :-1]], dim=1)
    logits = model(input_ids=sources, attention_mask=(sources != pad).long(), decoder_input_ids=inputs).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad)


@torch.inference_mode()
def translate(model: Any, tokenizer: Tokenizer, texts: list[str], direction: Direction, rows: int = 64) -> list[str]:
    """Translates ``texts`` with greedy decoding, in batches of similar length."""
    sources = [encode_source(tokenizer, text, direction) for text in texts]
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    pad, answers = token_id(tokenizer, PAD), [""] * len(texts)
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        inputs = padded([sources[index] for index in chosen], pad)
        output = model.generate(input_ids=inputs, attention_mask=(inputs != pad).long())
        for index, row in zip(chosen, output.tolist(), strict=True):
            answers[index] = tokenizer.decode(row, skip_special_tokens=True)
    return answers


def accuracy(model: Any, tokenizer: Tokenizer, samples: int, seed: int) -> dict[str, float]:
    """Counts exact matches in ``samples`` held-out texts of each direction.

    Returns, for each direction, the share of unseen sentences that are right, and under ``"{direction} texts"`` the
    share of texts whose sentences are all right.
    """
    found: dict[str, float] = {}
    for direction in DIRECTIONS:
        texts = held_out_texts(seed, direction, samples)
        sentences = [(number, pair) for number, text in enumerate(texts) for pair in text]
        answers = translate(model, tokenizer, [pair.source for _, pair in sentences], direction)
        right = [answer == pair.target for (_, pair), answer in zip(sentences, answers, strict=True)]
        unseen = [is_right for (_, pair), is_right in zip(sentences, right, strict=True) if not pair.is_fixed]
        wrong = {number for (number, _), is_right in zip(sentences, right, strict=True) if not is_right}
        found[direction] = sum(unseen) / len(unseen)
        found[f"{direction} texts"] = 1 - len(wrong) / samples
    return found
