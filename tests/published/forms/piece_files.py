"""``tokenizer.json`` of SentencePiece's unigram models and of fairseq's BPE, as transformers' converters wrote them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram
from tokenizers.processors import TemplateProcessing

#: How fairseq begins each vocabulary; the pieces of the model follow without their own first three.
FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")


def _parsed(model: bytes) -> Any:
    found = proto.ModelProto()  # type: ignore[attr-defined]
    found.ParseFromString(model)
    return found


def write_t5(folder: Path, model: bytes, extra: Sequence[str]) -> None:
    """T5: the pieces as they are, then ``extra``; ``</s>`` behind each text."""
    parsed = _parsed(model)
    scored = [(piece.piece, piece.score) for piece in parsed.pieces] + [(token, 0.0) for token in extra]
    tokenizer = Tokenizer(Unigram(scored, unk_id=2, byte_fallback=False))
    _finish(tokenizer, parsed, [], "</s>")
    _add(tokenizer, ["<pad>", "</s>", "<unk>", *extra])
    tokenizer.save(str(folder / "tokenizer.json"))


def write_xlm_roberta(folder: Path, model: bytes) -> None:
    """XLM-RoBERTa's, which many multilingual models have."""
    parsed = _parsed(model)
    scored = [(token, 0.0) for token in FAIRSEQ] + [(piece.piece, piece.score) for piece in parsed.pieces[3:]]
    tokenizer = Tokenizer(Unigram([*scored, ("<mask>", 0.0)], unk_id=3, byte_fallback=False))
    _finish(tokenizer, parsed, ["<s>"], "</s>")
    _add(tokenizer, [*FAIRSEQ, "<mask>"])
    tokenizer.save(str(folder / "tokenizer.json"))


def write_fairseq_bpe(folder: Path, model: bytes, language: str, languages: Sequence[str]) -> None:
    """NLLB's: BPE, and ``languages`` as added tokens behind the pieces; ``language`` in front of each text."""
    parsed = _parsed(model)
    places = {piece: place for place, piece in enumerate([*FAIRSEQ, *(p.piece for p in parsed.pieces[3:])])}
    tokenizer = Tokenizer(BPE(places, merges(places, len(FAIRSEQ)), unk_token="<unk>", fuse_unk=True))
    _add(tokenizer, [*FAIRSEQ, *languages, "<mask>"])
    _finish(tokenizer, parsed, [language], "</s>")
    tokenizer.save(str(folder / "tokenizer.json"))


def merges(places: dict[str, int], n_special: int) -> list[tuple[str, str]]:
    """Every split of a piece into two, the best piece first, as SentencePiece would join them."""
    found = [
        (rank, places[piece[:cut]], (piece[:cut], piece[cut:]))
        for piece, rank in places.items() if rank >= n_special
        for cut in range(1, len(piece)) if piece[:cut] in places and piece[cut:] in places
    ]  # fmt: skip
    return [pair for _, _, pair in sorted(found)]


def write_deberta(folder: Path, model: bytes) -> None:
    """DeBERTa's: the pieces as they are, and ``[MASK]`` behind them."""
    parsed = _parsed(model)
    scored = [(piece.piece, piece.score) for piece in parsed.pieces]
    tokenizer = Tokenizer(Unigram(scored, unk_id=3, byte_fallback=False))
    _finish(tokenizer, parsed, ["[CLS]"], "[SEP]")
    _add(tokenizer, ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"])
    tokenizer.save(str(folder / "tokenizer.json"))


def _add(tokenizer: Tokenizer, special: Sequence[str]) -> None:
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])


def _finish(tokenizer: Tokenizer, parsed: Any, before: Sequence[str], behind: str) -> None:
    steps: list[Any] = [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")]
    if charsmap := parsed.normalizer_spec.precompiled_charsmap:
        steps.insert(0, normalizers.Precompiled(charsmap))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    special = [(token, tokenizer.token_to_id(token)) for token in (*before, behind)]
    single = " ".join([*before, "$A", behind])
    tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=special)
