"""T5 and MADLAD name the language in the text that they read: ids and translations are transformers' own."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken

from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import KindModel, Prompt
from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec
from tests.engine import tiny
from tests.engine.decode.test_generation import run
from worker.engine.protocol import Request
from worker.engine.transformer.engine import TorchEngine

SENTENCES = ["The house is old.", "I see a cat, and 7 dogs!", "Ünknown übel", "the  house"]
_WORDS = ["▁translate", "▁English", "▁to", "▁German", "▁the", "▁house", "▁is", "old", "▁<"]
_LETTERS = [*string.ascii_letters, *string.digits, *".,!:"]
_PAIR = {"source": "en", "target": "de"}


def _tokenizer(languages: list[str]) -> Any:
    """A tokenizer of T5's form, in which ``languages`` are pieces as any others."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *languages, *_WORDS, *_LETTERS]
    pieces += [f"▁filler{number}" for number in range(tiny.VOCABULARY - len(pieces))]
    assert len(pieces) == tiny.VOCABULARY
    scores = [0.0 if piece in languages else -3.0 if len(piece) > 1 else -5.0 for piece in pieces]
    return tiny.hub.T5Tokenizer(vocab=list(zip(pieces, scores, strict=True)), extra_ids=0)


def _t5() -> tuple[Any, dict[str, Any], str]:
    table = {"codes": {"en": "English", "de": "German"}, "text_prefix": "translate {source} to {target}: "}
    return _tokenizer([]), table, "translate English to German: "


def _madlad() -> tuple[Any, dict[str, Any], str]:
    """As it is published: languages are pieces of the vocabulary, and a text's first word has ▁ before it."""
    return _tokenizer(["<2de>", "<2fr>"]), {"text_prefix": "<2{target}> "}, "<2de> "


def _added() -> tuple[Any, dict[str, Any], str]:
    made = _tokenizer(["<2de>"])
    made.add_tokens([AddedToken("<2de>", normalized=False)])
    return made, {"text_prefix": "<2{target}> "}, "<2de> "


def _special() -> tuple[Any, dict[str, Any], str]:
    """A special token is none in a text, so it has a setting of its own."""
    made = _tokenizer(["<2de>"])
    made.add_special_tokens({"additional_special_tokens": ["<2de>"]})
    return made, {"source_prefix": "<2{target}>"}, "<2de> "


FORMS: dict[str, Callable[[], tuple[Any, dict[str, Any], str]]] = {
    "t5": _t5, "madlad": _madlad, "added": _added, "special": _special
}  # fmt: skip


def written(form: str, folder: Path) -> tuple[Any, Any, ModelSpec, str]:
    model = tiny.save(tiny.ENCODER_DECODERS["t5_gated"], folder)
    made, table, prefix = FORMS[form]()
    for path in (folder / "manifest.json", folder / "tokenizer.json"):
        path.unlink()
    made.save_pretrained(folder)
    table |= {"pairs": [["en", "de"]], "unit": "text"}
    spec = ModelSpec.from_table("t5", {"path": folder, "quantization": "none", "device": "cpu", "translate": table})
    return model, made, spec, prefix


def prompt(spec: ModelSpec, text: str) -> Prompt:
    kind = KINDS["translate"]
    params, item = kind.params_type.model_validate(_PAIR), kind.item_type.model_validate({"text": text})
    [[found]] = kind.prompts(KindModel(spec, tokenizer.load(spec)), params, [item], 0)
    return found


@pytest.mark.parametrize("text", SENTENCES)
@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_a_translation_is_the_one_of_transformers(form: str, text: str, tmp_path: Path) -> None:
    model, theirs, spec, prefix = written(form, tmp_path)
    ids = prompt(spec, text).tokens
    assert ids == theirs(prefix + text).input_ids
    found = run(TorchEngine.load(spec), [Request(0, ids, 12)])[0]
    expected = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0]
    assert tokenizer.load(spec).decode_batch([found.tokens]) == [theirs.decode(expected, skip_special_tokens=True)]


def test_madlad_has_the_leading_piece_of_transformers(tmp_path: Path) -> None:
    _, theirs, spec, _ = written("madlad", tmp_path)
    found = theirs.convert_ids_to_tokens(prompt(spec, "the house").tokens)
    assert found == ["▁", "<2de>", "▁the", "▁house", "</s>"]
