"""Models' folders as they are published, with small tokenizers that SentencePiece trains in the test."""

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, normalizers, pre_tokenizers, trainers

CHINESE = [
    "你好世界,这是一个测试。",
    "我们今天去北京的图书馆看书。",
    "天气很好,我们去公园散步吧。",
    "价格是1000元,请在明天之前付款。",
    "机器翻译的质量取决于数据。",
    "他说:“谢谢你!”然后走了。",
]
ENGLISH = [
    "Hello world, this is a test of the tokenizer.",
    "We go to the library in Beijing today.",
    "The weather is fine, so let us walk in the park.",
    "The price is 1000 yuan; please pay before tomorrow.",
    "He said “thank you” and left at 10:30.",
    "Machine translation depends on data quality and size.",
]
GERMAN = [
    "Das ist ein kleiner Test für die Übersetzung.",
    "Wir gehen heute in die Bücherei in Köln.",
    "Größere Häuser kosten müßige 1000 Euro.",
    "Er sagte „danke“ und ging um 10:30 Uhr.",
]
ALL = [*CHINESE, *ENGLISH, *GERMAN]
#: Nasty texts beside those of the sample, which has its own.
LINES = [
    *ALL,
    "",
    " ",
    "naïve Größe ß é 𠮷野 中国é国",
    "Gro\u0308ße e\u0301 \u0041\u030a \u1112\u1161\u11ab \uac00\u11a8",
    "ﬁ\u0301 Ａ\u0301 ㎏ ½ Ⅷ ~ ～",
    "</s> <unk> <pad> <s> a</s>b __de__ >>deu<< x",
    "\u2581a \u2581\u2581b",
    "tab\tline\nend\r\n\u200b\u200d\ufeff\u00ad\ue000\u0378\U000e0041\ufdd0\0x",
    "👨‍👩‍👧‍👦👍🏽 مرحبا नमस्ते สวัสดีกำ",
    "zzzzzzzzzz " * 50,
]


def train(texts: Sequence[str], size: int, **options: Any) -> bytes:
    """A sentencepiece model of at most ``size`` pieces."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*texts] * 20),
        model_writer=written,
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return written.getvalue()


def pieces(model: bytes) -> list[str]:
    """Its pieces without those that control it."""
    read = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [
        read.id_to_piece(number)
        for number in range(read.get_piece_size())
        if not read.is_control(number) and not read.is_unknown(number)
    ]


def _write(folder: Path, model_type: str, n_rows: int, tokenizer: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "vocab_size": n_rows}))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def marian(folder: Path, source: bytes, target: bytes, others: Iterable[str] = (), without: Iterable[str] = ()) -> Path:
    """A model like opus-mt. ``others`` are listed as well: languages, and runs that SentencePiece does not know."""
    folder.mkdir(parents=True)
    (folder / "source.spm").write_bytes(source)
    (folder / "target.spm").write_bytes(target)
    shared = sorted({*pieces(source), *pieces(target)} - {*without})
    listed = dict.fromkeys(["</s>", "<unk>", *shared, *others, "<pad>"])
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(listed)}))
    return _write(folder, "marian", len(listed), {"tokenizer_class": "MarianTokenizer"})


def m2m100(folder: Path, segmentation: bytes, others: Iterable[str] = ()) -> Path:
    folder.mkdir(parents=True)
    (folder / "sentencepiece.bpe.model").write_bytes(segmentation)
    listed = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *pieces(segmentation), *others, "madeupword0"])
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(listed)}))
    return _write(folder, "m2m_100", len(listed) + 108, {"tokenizer_class": "M2M100Tokenizer", "src_lang": "de"})


def bert(folder: Path, **options: Any) -> Path:
    folder.mkdir(parents=True)
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=options.get("do_lower_case", True))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(ALL, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special))
    words = sorted(made.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words))
    return _write(folder, "bert", len(words), options)


def byte_level(folder: Path, model_type: str, **options: Any) -> Path:
    folder.mkdir(parents=True)
    made = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
    made.train_from_iterator(ALL, vocab_size=500, special_tokens=special)
    made.save_model(str(folder))
    return _write(folder, model_type, made.get_vocab_size(), options)


def segmented(folder: Path, name: str, segmentation: bytes, model_type: str, **options: Any) -> Path:
    """A model with a file of SentencePiece alone, whose name is ``name``."""
    folder.mkdir(parents=True)
    (folder / name).write_bytes(segmentation)
    return _write(folder, model_type, 2000, options)
