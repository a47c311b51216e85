"""What is taken over, what is refused, and how that is said."""

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from lengthwise.errors import ConfigurationError
from tests.engine.tokenizers import repositories
from tests.engine.tokenizers.repositories import ENGLISH, train
from worker.importing.tokenizers import character_map, comparison
from worker.importing.tokenizers.supply import supply


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "ours"
    made.mkdir()
    return made


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A model with ``tokenizer.json``."""
    made = tmp_path / "published"
    made.mkdir()
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(made / "tokenizer.json"))
    (made / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 8}))
    return made


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files_that_are_right_are_copied(published: Path, folder: Path) -> None:
    (published / "chat_template.jinja").write_text("{{ messages }}")
    (published / "tokenizer_config.json").write_text("{}")
    (published / "additional_chat_templates").mkdir()
    (published / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")
    (published / "tokenizer.py").write_text("raise SystemExit")
    assert supply(published, folder) == []
    assert names(folder) == names(published) - {"config.json", "tokenizer.py"}
    for name in names(folder):
        assert (folder / name).read_bytes() == (published / name).read_bytes()


@pytest.mark.parametrize("config", [{"vocab_size": 2}, {"text_config": {"vocab_size": 2}}])
def test_a_token_without_an_embedding_is_refused_by_name(published: Path, folder: Path, config: dict[str, Any]) -> None:
    (published / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    with pytest.raises(ConfigurationError, match=r"'b' has the id 2, but config\.json has a vocab_size of 2"):
        supply(published, folder)


def test_rows_of_padding_are_fine(published: Path, folder: Path) -> None:
    (published / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 3}))
    assert supply(published, folder) == []


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ((), "no tokenizer: tokenizer.json is missing"),
        (("source.spm",), "target.spm and vocab.json is missing; fetch"),
        (("source.spm", "target.spm"), "vocab.json is missing; fetch"),
        (("vocab.json",), "merges.txt is missing; fetch"),
        (("merges.txt",), "vocab.json is missing; fetch"),
    ],
)
def test_a_missing_file_is_named(published: Path, folder: Path, present: tuple[str, ...], message: str) -> None:
    (published / "tokenizer.json").unlink()
    for name in present:
        (published / name).write_text("{}")
    with pytest.raises(ConfigurationError, match=message):
        supply(published, folder)


def test_a_missing_package_is_named(published: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (published / "tokenizer.json").unlink()
    (published / "spiece.model").write_bytes(b"")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'lengthwise\[import\]'"):
        supply(published, folder)


@pytest.mark.parametrize("content", [b"", b"\x0a\xff\xff"])
@pytest.mark.parametrize(
    "name", ["source.spm", "sentencepiece.bpe.model", "tokenizer.model", "vocab.txt", "vocab.json"]
)
def test_files_that_are_broken_are_refused_in_one_line(tmp_path: Path, folder: Path, name: str, content: bytes) -> None:
    segmentation = train(ENGLISH, 150)
    if name == "vocab.txt":
        published = repositories.bert(tmp_path / "published", tokenizer_class="BertTokenizer")
        content = b"\xff\xfe" + content
    elif name == "sentencepiece.bpe.model":
        published = repositories.m2m100(tmp_path / "published", segmentation)
    elif name == "tokenizer.model":
        published = repositories.segmented(tmp_path / "published", name, segmentation, "llama")
    else:
        published = repositories.marian(tmp_path / "published", segmentation, segmentation)
    (published / name).write_bytes(content)
    with pytest.raises(ConfigurationError) as error:
        supply(published, folder)
    assert "\n" not in str(error.value)
    assert "tokenizer.json" not in names(folder)
    assert not list(folder.glob(".tokenizer-*"))


def _looping() -> bytes:
    """A map of characters whose trie leads back to where it begins."""
    return struct.pack("<3I", 8, 0, 1 << 10 | 1) + b"a\0"


@pytest.mark.parametrize("content", [b"\1", b"\xff\xff\xff\xffabc", struct.pack("<II", 4, 0x100 | 9 << 10), _looping()])
def test_a_malformed_map_of_characters_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="map of characters is malformed"):
        character_map.read(content)


def _words(**ids: int) -> Tokenizer:
    made = Tokenizer(models.WordLevel({"<unk>": 0, **ids}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_a_difference_is_refused_with_the_ids_of_the_first_line() -> None:
    right, wrong = _words(a=1, b=2), _words(a=1, b=3, c=2)
    original = comparison.Original(
        plain=lambda line: right.encode(line).ids, framed=lambda line: right.encode(line).ids, decode=right.decode
    )
    comparison.check(right, original, ["a", "a b"], ["a"])
    with pytest.raises(ConfigurationError, match=r"on 2 of 3 lines of the sample: ids \[3\] instead of \[2\]"):
        comparison.check(wrong, original, ["a", "a b", "b"], ["a"])
    comparison.check(wrong, original, ["a", "a"], ["a"])
    with pytest.raises(ConfigurationError, match=r"on 1 of 1 lines with control tokens"):
        comparison.check(wrong, original, ["a"], ["b"])
