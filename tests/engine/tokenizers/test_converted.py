"""Tokenizers that transformers makes of the published files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from lengthwise.errors import ConfigurationError
from tests.engine.tokenizers import repositories
from tests.engine.tokenizers.repositories import ALL, ENGLISH, LINES, train
from worker.importing.tokenizers.supply import supply

FAIRSEQ = {"bos_id": 1, "eos_id": 2, "unk_id": 0}
LLAMA = {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
         "remove_extra_whitespaces": False}  # fmt: skip
BRACKETS = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]"}


def _bert(**options: bool) -> Callable[[Path], Path]:
    return lambda folder: repositories.bert(folder, **options)


def _bytes(model_type: str, **options: bool) -> Callable[[Path], Path]:
    return lambda folder: repositories.byte_level(folder, model_type, **options)


def _spm(name: str, size: int, trained: dict[str, Any], model_type: str, **options: Any) -> Callable[[Path], Path]:
    return lambda folder: repositories.segmented(folder, name, train(ALL, size, **trained), model_type, **options)


FORMS = {
    "uncased": _bert(do_lower_case=True),
    "cased": _bert(do_lower_case=False),
    "accents kept": _bert(do_lower_case=True, strip_accents=False),
    "Chinese words kept": _bert(do_lower_case=False, tokenize_chinese_chars=False),
    "GPT-2": _bytes("gpt2"),
    "RoBERTa": _bytes("roberta"),
    "RoBERTa, space in front": _bytes("roberta", add_prefix_space=True),
    "XLM-R": _spm("sentencepiece.bpe.model", 350, FAIRSEQ, "xlm-roberta"),
    "CamemBERT": _spm("sentencepiece.bpe.model", 350, FAIRSEQ, "camembert"),
    "mBART-50": _spm("sentencepiece.bpe.model", 350, FAIRSEQ, "mbart", tokenizer_class="MBart50Tokenizer",
                     src_lang="en_XX"),
    "NLLB": _spm("sentencepiece.bpe.model", 350, FAIRSEQ | {"model_type": "bpe"}, "m2m_100",
                 tokenizer_class="NllbTokenizer", src_lang="eng_Latn",
                 additional_special_tokens=["eng_Latn", "deu_Latn"]),
    "T5": _spm("spiece.model", 350, {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}, "t5", extra_ids=100),
    "DeBERTa-v3": _spm("spm.model", 350, BRACKETS | {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3,
                       "unk_piece": "[UNK]"}, "deberta-v2", do_lower_case=False),
    "ALBERT": _spm("spiece.model", 350, BRACKETS | {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3,
                   "pad_piece": "<pad>", "user_defined_symbols": ["[MASK]"]}, "albert", do_lower_case=True),
    "Llama": _spm("tokenizer.model", 600, LLAMA, "llama", add_bos_token=True, legacy=False),
    "Gemma": _spm("tokenizer.model", 600, LLAMA | {"add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2,
                  "unk_id": 3}, "gemma", add_bos_token=True),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_tokenizer_gives_the_ids_and_texts_of_transformers(tmp_path: Path, form: str) -> None:
    published, folder = FORMS[form](tmp_path / "published"), tmp_path / "ours"
    folder.mkdir()
    supply(published, folder)
    built = Tokenizer.from_file(str(folder / "tokenizer.json"))
    original = AutoTokenizer.from_pretrained(str(published))
    for line in LINES:
        ids = original(line)["input_ids"]
        assert built.encode(line).ids == ids
        assert built.decode(ids, skip_special_tokens=True) == original.decode(ids, skip_special_tokens=True)


def test_unknown_tokens_that_the_segmentation_does_not_have_are_a_warning(tmp_path: Path) -> None:
    """transformers 5 leaves out the map of characters of DeBERTa."""
    published = FORMS["DeBERTa-v3"](tmp_path / "published")
    (tmp_path / "ours").mkdir()
    [warning] = supply(published, tmp_path / "ours")
    assert "more unknown tokens than spm.model on" in warning


def test_a_frame_of_tokens_that_are_missing_is_refused(tmp_path: Path) -> None:
    """NLLB's languages are in files beside the segmentation."""
    published = repositories.segmented(
        tmp_path / "published", "sentencepiece.bpe.model", train(ALL, 350, model_type="bpe"), "m2m_100",
        tokenizer_class="NllbTokenizer", src_lang="eng_Latn",
    )  # fmt: skip
    (tmp_path / "ours").mkdir()
    with pytest.raises(ConfigurationError, match=r"special_tokens_map\.json or added_tokens\.json is missing"):
        supply(published, tmp_path / "ours")


def test_code_of_the_model_is_not_run(tmp_path: Path) -> None:
    published = repositories.segmented(
        tmp_path / "published", "tokenizer.model", train(ENGLISH, 150), "unheard-of",
        tokenizer_class="OwnTokenizer", auto_map={"AutoTokenizer": ["own.OwnTokenizer", None]},
    )  # fmt: skip
    (published / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "ours").mkdir()
    with pytest.raises(ConfigurationError, match=r"has tokenizer\.json"):
        supply(published, tmp_path / "ours")
    assert not (tmp_path / "ran").exists()
