"""The tokenizers of Marian and M2M-100: pieces of SentencePiece that ``vocab.json`` numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers.models.m2m_100.tokenization_m2m_100 import M2M100Tokenizer
from transformers.models.marian.tokenization_marian import MarianTokenizer

from lengthwise.errors import ConfigurationError
from lengthwise.models.tokenizer import ModelTokenizer
from tests.engine.tokenizers import repositories
from tests.engine.tokenizers.repositories import ALL, CHINESE, ENGLISH, GERMAN, LINES, train
from worker.importing.tokenizers import pieces, ties
from worker.importing.tokenizers.supply import supply

pytestmark = pytest.mark.filterwarnings("ignore:Recommended")


@dataclass(frozen=True)
class Pair:
    """A tokenizer that was built, and that of transformers."""

    folder: Path
    built: Tokenizer = field(repr=False)
    slow: Any = field(repr=False)
    scores: dict[str, float] = field(repr=False)

    def plain(self, line: str) -> list[int]:
        """What transformers makes of the text; what spells a control token is unknown."""
        ids = self.slow.convert_tokens_to_ids(self.slow.tokenize(line, split_special_tokens=True))
        control = {number for number, token in self.built.get_added_tokens_decoder().items() if token.special}
        return [self.slow.unk_token_id if number in control else number for number in ids]

    def is_same(self, line: str) -> bool:
        found = self.built.encode(line, add_special_tokens=False)
        if found.ids == self.plain(line):
            return True
        return ties.is_tie(self.slow.tokenize(line, split_special_tokens=True), found.tokens, self.scores)


def _chinese(folder: Path) -> Path:
    source = train([*CHINESE, *ENGLISH[:1]], 150)
    return repositories.marian(folder, source, train(ENGLISH, 150), ["é", "ß", "naï", "𠮷野"])


def _only_chinese(folder: Path) -> Path:
    """No character of the control tokens is known."""
    return repositories.marian(folder, train(CHINESE[:3], 80), train(ENGLISH, 150), [">>deu<<"])


def _english(folder: Path) -> Path:
    """Pieces of the target, Chinese, consist of characters that the source does not know."""
    return repositories.marian(folder, train(ENGLISH, 150), train(CHINESE, 150), [">>cmn<<", ">>deu<<", "中国", "ß"])


def _german(folder: Path) -> Path:
    return repositories.marian(folder, train([*ENGLISH, *GERMAN], 200), train(GERMAN, 150), ["<s>"])


def _unmapped(folder: Path) -> Path:
    """It has no map of characters."""
    source = train(ALL, 300, normalization_rule_name="identity")
    return repositories.marian(folder, source, train(ENGLISH, 150), ["～"])


def _many(folder: Path) -> Path:
    return repositories.m2m100(folder, train(ALL, 300))


def _many_joined(folder: Path) -> Path:
    """Pieces are joined from characters (BPE); some runs that the segmentation does not know are listed."""
    return repositories.m2m100(folder, train(ALL, 300, model_type="bpe"), ["ß", "𠮷野", "ñ", "Ω"])


def _joined(folder: Path) -> Path:
    source = train([*ENGLISH, *GERMAN], 200, model_type="bpe")
    return repositories.marian(folder, source, train(GERMAN, 150), ["<s>", ">>deu<<", "中国"])


@pytest.fixture(
    scope="module", params=[_chinese, _only_chinese, _english, _german, _unmapped, _many, _many_joined, _joined]
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    make: Callable[[Path], Path] = request.param
    base = tmp_path_factory.mktemp("model")
    source, folder = make(base / "published"), base / "ours"
    folder.mkdir()
    assert supply(source, folder) == []
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    built = Tokenizer.from_file(str(folder / "tokenizer.json"))
    built.encode_special_tokens = True
    is_many = make in (_many, _many_joined)
    slow = (M2M100Tokenizer if is_many else MarianTokenizer).from_pretrained(str(source))
    name = "sentencepiece.bpe.model" if is_many else "source.spm"
    yield Pair(folder, built, slow, pieces.pieces(pieces.read(source / name), name).scores)


def test_a_tokenizer_gives_the_ids_and_texts_of_transformers(pair: Pair) -> None:
    assert [line for line in LINES if not pair.is_same(line)] == []
    for line in LINES:
        ids = pair.plain(line)
        assert pair.built.decode(ids, skip_special_tokens=True) == pair.slow.decode(ids, skip_special_tokens=True)


#: Texts of all sorts, of what the models know, and of characters that join others.
TEXTS = st.text() | st.lists(
    st.sampled_from([*"".join(ALL), *ALL, "\u0301", "\u0323", "\u1161", "\u11ab", "\u1112", "\uac00", "ﬁ", "ß", "é"])
    | st.characters(exclude_categories=["Cs"]),
    max_size=40,
).map("".join)


@settings(max_examples=300)
@given(line=TEXTS)
def test_any_text_gets_the_ids_of_transformers(pair: Pair, line: str) -> None:
    assume(not line.startswith(">>"))
    assert pair.is_same(line)


def test_lengthwise_reads_the_tokenizer(pair: Pair) -> None:
    ours = ModelTokenizer(pair.folder)
    assert ours.encode(LINES) == [pair.built.encode(line, add_special_tokens=False).ids for line in LINES]
    assert ours.encode([ENGLISH[0]], framed=True)[0][-1:] == ours.special("</s>")


def test_what_frames_an_input_is_that_of_transformers(pair: Pair) -> None:
    pair.built.encode_special_tokens = False
    try:
        assert pair.built.encode(ENGLISH[0]).ids == pair.slow(ENGLISH[0])["input_ids"]
        assert pair.built.encode(f"{ENGLISH[0]}</s>x").ids == pair.slow(f"{ENGLISH[0]}</s>x")["input_ids"]
    finally:
        pair.built.encode_special_tokens = True


def test_languages_are_control_tokens_that_no_text_becomes(pair: Pair) -> None:
    ours = ModelTokenizer(pair.folder)
    languages = [token for token in (">>deu<<", "__de__") if pair.built.token_to_id(token) is not None]
    for token in [*languages, "</s>", "<pad>", "<unk>"]:
        [number] = ours.special(token)
        assert number == pair.slow.convert_tokens_to_ids(token)
        if token != "<unk>":
            assert number not in [*ours.encode([token])[0], *ours.encode([f"a {token} b"])[0]]


def test_a_few_pieces_that_are_not_listed_are_a_warning(tmp_path: Path) -> None:
    source = train([*ENGLISH, *GERMAN], 200)
    [absent, *_] = [piece for piece in repositories.pieces(source) if len(piece) > 4]
    published = repositories.marian(tmp_path / "published", source, train(CHINESE, 100), without=[absent])
    (tmp_path / "ours").mkdir()
    [warning] = supply(published, tmp_path / "ours")
    assert "lacks 1 pieces of source.spm" in warning
    assert absent in warning


def test_a_piece_of_bpe_that_is_not_listed_is_refused_by_name(tmp_path: Path) -> None:
    source = train([*ENGLISH, *GERMAN], 200, model_type="bpe")
    [absent, *_] = [piece for piece in repositories.pieces(source) if len(piece) > 4]
    published = repositories.marian(tmp_path / "published", source, train(GERMAN, 150), without=[absent])
    (tmp_path / "ours").mkdir()
    with pytest.raises(ConfigurationError, match=r"lacks 1 pieces of source\.spm, such as .*, which is a BPE model"):
        supply(published, tmp_path / "ours")


def test_a_list_of_another_model_is_refused(tmp_path: Path) -> None:
    source = train(ENGLISH, 150)
    without = repositories.pieces(source)[:20]
    published = repositories.marian(tmp_path / "published", source, train(CHINESE, 100), without=without)
    (tmp_path / "ours").mkdir()
    with pytest.raises(ConfigurationError, match=r"lacks 20 of the .* not of the same model"):
        supply(published, tmp_path / "ours")


@pytest.mark.parametrize(
    "options",
    [{"model_type": "char"}, {"byte_fallback": True, "vocab_size": 600}, {"user_defined_symbols": ["<x>"]},
     {"add_dummy_prefix": False}, {"normalization_rule_name": "nmt_nfkc_cf"}],
    ids=["characters", "bytes", "user-defined", "no space in front", "small letters"],
)  # fmt: skip
def test_a_segmentation_of_another_sort_is_refused_by_name(tmp_path: Path, options: dict[str, Any]) -> None:
    size = options.pop("vocab_size", 150)
    published = repositories.marian(tmp_path / "published", train(ENGLISH, size, **options), train(ENGLISH, 150))
    (tmp_path / "ours").mkdir()
    with pytest.raises(ConfigurationError, match=r"source\.spm .*cannot be built|normalizes text in a way"):
        supply(published, tmp_path / "ours")
