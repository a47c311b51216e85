"""SentencePiece's models, and what is made of them: ``source.spm``, ``spiece.model``, ``tokenizer.model``, …"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from tests.published.forms import piece_files, texts
from tests.published.forms.listed import ListedPieces

_SIGN = "▁"


@cache
def train(sentences: Sequence[str], size: int, model_type: str = "unigram", **options: Any) -> bytes:
    """A SentencePiece model. The same arguments give the same bytes."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=written, vocab_size=size, model_type=model_type,
        character_coverage=1.0, num_threads=1, minloglevel=2, hard_vocab_limit=False, **options,
    )  # fmt: skip
    return written.getvalue()


def read(model: bytes) -> Any:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def pieces(model: bytes) -> list[str]:
    """The pieces in the order of their ids."""
    processor = read(model)
    return [processor.id_to_piece(place) for place in range(processor.vocab_size())]


@dataclass(frozen=True)
class ByteFallback(ListedPieces):
    """Llama's old tokenizer and Gemma's: BPE whose unknown characters become bytes, as ``tokenizer.json``.

    ``control`` tokens stand behind the first three or four, ``last`` behind all pieces.
    """

    first: tuple[str, ...] = ("<unk>", "<s>", "</s>")
    control: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    before: str | None = "<s>"
    #: Whether a blank is put before each text.
    is_prefixed: bool = True
    size_of_pieces: int = 900
    #: ``tokenizer_config.json``.
    config: dict[str, Any] = field(default_factory=dict, hash=False)

    @cached_property
    def model(self) -> bytes:
        ids = {f"{name}_id": place for place, (name, _) in enumerate(_named(self.first))}
        names = {f"{name}_piece": token for name, token in _named(self.first)}
        return train(
            texts.EVERY, self.size_of_pieces, "bpe", byte_fallback=True, add_dummy_prefix=self.is_prefixed,
            normalization_rule_name="identity", remove_extra_whitespaces=False, **ids, **names,
            control_symbols=",".join(self.control),
        )  # fmt: skip

    @cached_property
    def pieces(self) -> list[str]:
        return [*pieces(self.model), *self.last]

    def __call__(self, folder: Path) -> None:
        (folder / "tokenizer.model").write_bytes(self.model)
        self._tokenizer().save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps(self.config, indent=2))

    def _tokenizer(self) -> Tokenizer:
        vocabulary = {piece: place for place, piece in enumerate(self.pieces)}
        joined = piece_files.merges(vocabulary, len(self.first) + len(self.control) + 256)
        tokenizer = Tokenizer(BPE(vocabulary, joined, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        decoding: list[Any] = [decoders.Replace(_SIGN, " "), decoders.ByteFallback(), decoders.Fuse()]
        if self.is_prefixed:
            tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(_SIGN), normalizers.Replace(" ", _SIGN)])
            decoding.append(decoders.Strip(" ", 1, 0))
        else:
            tokenizer.normalizer = normalizers.Replace(" ", _SIGN)
            tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence(decoding)
        if self.before:
            special = [(self.before, vocabulary[self.before])]
            tokenizer.post_processor = TemplateProcessing(single=f"{self.before} $A", special_tokens=special)
        every = (*self.first, *self.control, *self.last)
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in every])
        return tokenizer


def _named(first: Sequence[str]) -> list[tuple[str, str]]:
    names = {"<unk>": "unk", "<s>": "bos", "<bos>": "bos", "</s>": "eos", "<eos>": "eos", "<pad>": "pad"}
    return [(names[token], token) for token in first]
