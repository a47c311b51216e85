"""BERT's tokenizer: ``vocab.txt`` with one piece a line, and ``tokenizer.json`` if it is published too."""

import json
import re
import string
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece as WordPieceModel
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from tests.published.forms import texts
from tests.published.forms.listed import ListedPieces


@dataclass(frozen=True)
class WordPiece(ListedPieces):
    """A vocabulary that begins with ``first``; ``last`` stands behind all words."""

    first: tuple[str, ...] = ("[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    last: tuple[str, ...] = ()
    unknown: str = "[UNK]"
    #: Before and behind a text.
    around: tuple[str, str] = ("[CLS]", "[SEP]")
    lowers: bool = True
    has_json: bool = True
    #: ``tokenizer_config.json``.
    config: dict[str, Any] = field(default_factory=dict, hash=False)

    @cached_property
    def pieces(self) -> list[str]:
        found = " ".join(texts.EVERY)
        found = found.lower() if self.lowers else found
        words = sorted(set(re.findall(r"[a-zA-Zäöüß]{2,}", found)))[::2]  # the others are read as characters
        signs = sorted(set(string.ascii_letters + string.digits + string.punctuation) | set(found) - {" "})
        signs = sorted({sign.lower() for sign in signs}) if self.lowers else signs
        return [*self.first, *signs, *(f"##{sign}" for sign in signs if sign.isalnum()), *words, *self.last]

    def __call__(self, folder: Path) -> None:
        (folder / "vocab.txt").write_text("\n".join(self.pieces) + "\n", "utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": self.lowers} | self.config))
        if self.has_json:
            self._tokenizer().save(str(folder / "tokenizer.json"))

    def _tokenizer(self) -> Tokenizer:
        vocabulary = {piece: place for place, piece in enumerate(self.pieces)}
        tokenizer = Tokenizer(WordPieceModel(vocabulary, unk_token=self.unknown))
        tokenizer.normalizer = BertNormalizer(lowercase=self.lowers)
        tokenizer.pre_tokenizer = BertPreTokenizer()
        tokenizer.decoder = WordPieceDecoder()
        begin, end = self.around
        special = [(token, vocabulary[token]) for token in self.around]
        tokenizer.post_processor = TemplateProcessing(
            single=f"{begin} $A {end}", pair=f"{begin} $A {end} $B {end}", special_tokens=special
        )
        tokenizer.add_special_tokens([each for each in (*self.first, *self.last) if not each.startswith("[unused")])
        return tokenizer
