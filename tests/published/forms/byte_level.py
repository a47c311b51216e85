"""Byte-level BPE: ``vocab.json`` and ``merges.txt`` (GPT-2, RoBERTa), or ``tokenizer.json`` (Llama 3, Qwen, …)."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel as ByteLevelSplit
from tokenizers.processors import RobertaProcessing, TemplateProcessing
from tokenizers.trainers import BpeTrainer

from tests.published.forms import texts
from tests.published.forms.listed import ListedPieces

_SIZE = 640
#: How Llama 3 and Qwen split texts.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@cache
def _trained() -> tuple[list[str], list[tuple[str, str]]]:
    """The pieces in the order of their ids, and the merges."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevelSplit(add_prefix_space=False)
    alphabet = sorted(ByteLevelSplit.alphabet())
    tokenizer.train_from_iterator(texts.EVERY, BpeTrainer(vocab_size=_SIZE, initial_alphabet=alphabet))
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [(left, right) for left, right in model["merges"]]


def merges() -> list[tuple[str, str]]:
    """The merges that every tokenizer of this form has."""
    return _trained()[1]


@dataclass(frozen=True)
class ByteLevel(ListedPieces):
    """``first`` and ``last`` stand before and behind the pieces; of these, ``plain`` are not special."""

    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    #: Before and behind a text.
    before: str | None = None
    behind: str | None = None
    is_roberta: bool = False
    is_gpt2: bool = False
    composes: bool = False
    has_json: bool = True
    has_parts: bool = False
    #: ``tokenizer_config.json``.
    config: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def pieces(self) -> list[str]:
        return [*self.first, *_trained()[0], *self.last]

    def __call__(self, folder: Path) -> None:
        if self.has_json:
            self.tokenizer().save(str(folder / "tokenizer.json"))
        if self.has_parts:
            self._write_parts(folder)
        added = {} if self.is_roberta or self.is_gpt2 else {"added_tokens_decoder": self._added()}
        (folder / "tokenizer_config.json").write_text(json.dumps(added | self.config, indent=2))

    def _write_parts(self, folder: Path) -> None:
        pieces, merges = _trained()
        inside = self.pieces if self.is_roberta or self.is_gpt2 else pieces
        vocabulary = {piece: place for place, piece in enumerate(inside)}
        (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
        lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")

    def _added(self) -> dict[str, Any]:
        """The added tokens as ``tokenizer_config.json`` repeats them."""
        flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
        return {
            str(self.id(token)): {"content": token, "special": token not in self.plain} | flags
            for token in (*self.first, *self.last)
        }

    def tokenizer(self) -> Tokenizer:
        """What ``tokenizer.json`` holds."""
        vocabulary = {piece: place for place, piece in enumerate(self.pieces)}
        tokenizer = Tokenizer(BPE(vocabulary, _trained()[1]))
        if self.composes:
            tokenizer.normalizer = normalizers.NFC()
        if self.is_roberta or self.is_gpt2:
            tokenizer.pre_tokenizer = ByteLevelSplit(add_prefix_space=False)
        else:
            split = pre_tokenizers.Split(Regex(_WORDS), "isolated")
            bytes_only = ByteLevelSplit(add_prefix_space=False, use_regex=False)
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
        tokenizer.decoder = ByteLevelDecoder()
        self._add_around(tokenizer, vocabulary)
        for token in (*self.first, *self.last):
            is_special = token not in self.plain
            added = AddedToken(token, special=is_special, normalized=False, lstrip=token == "<mask>")
            (tokenizer.add_special_tokens if is_special else tokenizer.add_tokens)([added])
        return tokenizer

    def _add_around(self, tokenizer: Tokenizer, vocabulary: dict[str, int]) -> None:
        if self.is_roberta:
            begin, end = ("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])
            tokenizer.post_processor = RobertaProcessing(end, begin, add_prefix_space=False)
        elif self.before or self.behind:
            special = [(token, vocabulary[token]) for token in (self.before, self.behind) if token]
            single = " ".join(filter(None, (self.before, "$A", self.behind)))
            tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=special)
